// A session fed with bytes of anyone's choice: as server and as client, from the first byte (the
// handshake) or established with an honest peer whose bytes are then replaced, on several links
// that come and go, while its owner opens, reads, finishes and resets streams as the input says.
// Whatever comes, a turn that is wanted yields bytes or ends, and the session ends clean.

#include "protocol/session/session.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/sim/test_crypto.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

using namespace muxsocks;
using fuzz::input;

namespace {

session_settings settings_of(role side, chunk_pool& pool, bool v1) {
    session_settings made;
    made.side = side;
    made.crypto = sim::test_crypto();
    made.pool = &pool;
    made.initial_window = 4096;
    made.stream_window_max = 32 * 1024;
    made.session_memory = 256 * 1024;
    made.max_streams = 8;
    made.frame_payload = 500;
    made.kept.initial = 8 * 1024;
    made.kept.max = 16 * 1024;
    made.max_links = 3;
    made.datagrams = true;
    made.allow_v1 = v1;
    made.user = "me";
    made.key = digest{1};
    made.find_user = [](std::string_view) { return user_access{digest{1}, 0}; };
    return made;
}

class player {
  public:
    player(role side, bool v1) : side_(side), session_(settings_of(side, pool_, v1), now_) {}

    session& core() { return session_; }

    void feed(link_number link, bytes_view bytes) {
        auto& received = received_[link];
        received.insert(received.end(), bytes.begin(), bytes.end());
        const auto used = session_.on_bytes(link, received, now_);
        settle();
        received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(used));
    }
    /// The input names one of the links that there were.
    void feed_some(std::uint8_t which, bytes_view bytes) { feed(which % (links_made_ + 1), bytes); }

    /// Events, then turns of all links; returns what was sent.
    std::vector<std::uint8_t> settle() {
        std::vector<std::uint8_t> sent;
        while (const auto e = session_.next_event()) {
            if (e->type == event::kind::opened) streams_.push_back(e->subject);
            if (e->type == event::kind::readable) read(*e->subject);
            if (e->type == event::kind::reset) release(e->subject);
            if (e->type == event::kind::datagram) look(session_.datagrams_lane().received(*e));
        }
        session_.end_batch();
        for (link_number link = 0; link <= links_made_; ++link)
            lay_turns(link, sent);
        return sent;
    }

    void lay_turns(link_number link, std::vector<std::uint8_t>& sent) {
        for (int turns = 0; session_.wants_turn(link); ++turns) {
            if (turns > 10'000) std::abort(); // It would spin.
            session_.begin_turn(link, now_);
            while (const auto slot = session_.datagrams_lane().next()) {
                const auto size = std::min<std::size_t>(slot->place.size(), 40);
                std::fill_n(slot->place.begin(), size, std::uint8_t{1});
                session_.datagrams_lane().on_read(*slot, size, false);
            }
            while (const auto slot = session_.next_read()) {
                for (std::size_t i = 0; i < slot->count; ++i)
                    std::fill(slot->places[i].begin(), slot->places[i].end(), std::uint8_t{7});
                session_.on_read(*slot, slot->size / 2, read_outcome::drained);
            }
            chunk_ref keep;
            const auto bytes = session_.end_turn(keep);
            sent.insert(sent.end(), bytes.begin(), bytes.end());
        }
    }

    void act(std::uint8_t what, std::uint8_t which) {
        if (what % 8 == 0 && streams_.size() < 32) {
            const std::uint8_t request[] = {5, 1, 0, 1, 127, 0, 0, 1, 0, 80};
            streams_.push_back(&session_.open(request, nullptr));
        } else if (what % 8 == 1) {
            now_ += std::chrono::milliseconds(which * 100);
            if (const auto at = session_.deadline(); at && *at <= now_) session_.on_deadline(now_);
        } else if (what % 16 == 15) {
            link(which);
        } else if (!streams_.empty()) {
            auto& s = *streams_[which % streams_.size()];
            switch (what % 8) {
            case 2:
                session_.on_readable(s);
                break;
            case 3:
                session_.finish(s);
                break;
            case 4:
                session_.reset(s, reset_code::cancelled);
                break;
            case 5:
                release(&s);
                break;
            case 6:
                session_.accept(s);
                session_.datagrams_lane().on_readable(s);
                break;
            default:
                read(s);
            }
        }
        settle();
    }

    void end() {
        session_.close(close_code::normal, errc::closed_locally, "over");
        settle();
        while (!streams_.empty())
            release(streams_.back());
        session_.end_batch();
        if (session_.memory_held() != 0 || session_.stream_count() != 0) std::abort();
    }

  private:
    /// One joins, is lost, or takes other work from now on.
    void link(std::uint8_t which) {
        const auto number = which / 4 % (links_made_ + 1);
        if (which % 4 == 0 && links_made_ < links_max) {
            add_link();
        } else if (which % 4 == 1) {
            session_.on_link_lost(number, errc::link_lost, now_);
        } else {
            link_roles roles;
            roles.small = number;
            roles.bulk = {(number + 1) % (links_made_ + 1), link_roles::none, link_roles::none};
            if (which % 4 == 3) roles.twice = roles.bulk[0];
            session_.set_roles(roles);
        }
    }
    void add_link() {
        if (!session_.established() || session_.version() < 2 || !session_.agreed().keeps) return;
        if (side_ == role::client) {
            links_made_ = session_.join({}, now_);
            // Else nothing but the answer would be looked at. The peer knows the secret.
            const auto number = links_made_;
            const auto proof = session_.proofs().join_ok_proof(number, {});
            return feed(number, control_frame(encode(join_ok_frame{number, proof})));
        }
        join_frame asked;
        asked.id = session_.id();
        asked.number = ++links_made_;
        asked.proof = session_.proofs().join_proof(asked.number, {});
        (void)session_.on_join(asked, {}, now_);
    }
    /// Whether a sanitizer has anything against that memory.
    void look(bytes_view datagram) {
        for (const auto byte : datagram)
            sum_ = static_cast<std::uint8_t>(sum_ + byte);
    }
    void read(stream& s) {
        std::array<bytes_view, 4> views;
        const auto count = session_.peek(s, views);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i)
            size += views[i].size();
        session_.consume(s, size - size / 3, now_);
    }
    void release(stream* s) {
        const auto found = std::find(streams_.begin(), streams_.end(), s);
        if (found == streams_.end()) return;
        streams_.erase(found);
        session_.release(*s);
    }

    static constexpr link_number links_max = 8;

    role side_;
    chunk_pool pool_{2048};
    instant now_{std::chrono::seconds(1)};
    session session_;
    link_number links_made_ = 0;
    std::uint8_t sum_ = 0;
    std::map<link_number, std::vector<std::uint8_t>> received_;
    std::vector<stream*> streams_;
};

/// Brings both to `established`; the second is of no use afterwards.
void shake_hands(player& one, player& other) {
    one.core().on_link({}, instant{std::chrono::seconds(1)});
    other.core().on_link({}, instant{std::chrono::seconds(1)});
    for (int i = 0; i < 4; ++i) {
        other.feed(0, one.settle());
        one.feed(0, other.settle());
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, size);
    const auto mode = in.byte();
    const auto side = (mode & 1) != 0 ? role::client : role::server;
    const auto other = side == role::client ? role::server : role::client;
    sim::seed_test_random(1);
    player tested(side, (mode & 2) != 0);
    player honest(other, false);
    if ((mode & 4) != 0)
        shake_hands(tested, honest);
    else
        tested.core().on_link({}, instant{std::chrono::seconds(1)});
    tested.settle();
    while (!in.empty()) {
        const auto what = in.byte();
        if (what < 128)
            tested.feed_some(what, in.bytes(in.byte()));
        else
            tested.act(what, in.byte());
    }
    tested.end();
    honest.end();
    return 0;
}
