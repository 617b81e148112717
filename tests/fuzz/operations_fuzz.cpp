// Two sessions back to back, driven by a list of operations that the input spells: streams are
// opened, written, read, half-closed, reset, released and refused, time passes, bytes arrive in
// pieces, links join and are lost. Whatever the order: no byte is lost or doubled inside
// a stream that was not visibly reset, and when all is let go on, everything arrives and ends.

#include "tests/fuzz/input.hpp"
#include "tests/fuzz/two_sessions.hpp"
#include "tests/sim/test_crypto.hpp"

using namespace muxsocks;
using namespace muxsocks::fuzz;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t streams_max = 24;
constexpr std::size_t bytes_max = 200'000; ///< Of one direction of a stream.

session_settings settings_from(input& in) {
    auto settings = two_sessions::default_settings();
    constexpr std::uint32_t windows[] = {100, 1'000, 20'000, 262'144};
    const auto how = in.byte();
    settings.initial_window = windows[how & 3];
    settings.stream_window_max = settings.initial_window * (std::uint64_t{1} << (how >> 2 & 3));
    settings.frame_payload = (how & 16) != 0 ? 16'377 : 300;
    settings.max_streams = (how & 32) != 0 ? 16'384 : 2;
    settings.resume = (how & 64) == 0;
    if ((how & 128) != 0) settings.session_memory = 300'000;
    settings.kept.initial = 16 * 1024;
    settings.kept.max = 64 * 1024;
    // Tiny windows look like floods, which tests/protocol is about.
    settings.flood.credits_burst = 1e9;
    return settings;
}

/// One side of one stream: what its user keeps, and what this test knows beside it.
struct end {
    conversation* c = nullptr;
    std::string given;      ///< All that the application wrote, request or reply included.
    bool ended = false;     ///< Whether its end follows.
    bool abandoned = false; ///< Whether this side reset or released it, or refused it.
};

class game {
  public:
    explicit game(input& in) : in_(in), both_(settings_from(in)) {
        both_.client.output_max = 1 + in.word() * 4;
        both_.server.output_max = 1 + in.word() * 4;
        both_.establish();
    }

    void play() {
        while (!in_.empty()) {
            act(in_.byte());
            look();
        }
        let_go_on();
    }

  private:
    void act(std::uint8_t what) {
        switch (what % 16) {
        case 0:
        case 1:
            return open();
        case 2:
        case 3:
            return write(pick(), in_.word() % 8'000, false);
        case 4:
            return write(pick(), in_.byte(), true);
        case 5:
            return stop_or_go();
        case 6:
            return reset(pick());
        case 7:
            return let_go(pick());
        case 8:
            return both_.run();
        case 9:
            return both_.run_for(std::chrono::milliseconds(in_.word()));
        case 10:
            return move(true);
        case 11:
            return move(false);
        case 12:
            return lose_link();
        case 13:
            return join();
        case 14:
            return both_.client.core().probe();
        default:
            if (in_.byte() < 8)
                both_.server.core().go_away(close_code::shutting_down, 1s, "enough");
        }
    }

    /// The stream and the side that the input names; none without streams.
    end* pick() {
        const auto which = in_.byte();
        match();
        auto& side = which % 2 == 0 ? clients_ : servers_;
        return side.empty() ? nullptr : &side[which / 2 % side.size()];
    }
    static bool alive(const end* e) { return e && e->c->s && !e->c->reset && !e->abandoned; }

    void open() {
        if (clients_.size() == streams_max || !both_.client.core().accepts_opens()) return;
        auto& e = clients_.emplace_back();
        // Its first bytes name it at the server.
        e.given = std::string(1, static_cast<char>('a' + clients_.size() - 1));
        e.given += std::string(in_.byte(), '.');
        e.c = &both_.client_user.open(e.given);
    }
    void write(end* e, std::size_t size, bool last) {
        if (!alive(e) || e->ended || e->given.size() + size > bytes_max) return;
        std::string text;
        while (text.size() < size)
            text += std::to_string(e->given.size() + text.size()) + ' ';
        e->given += text;
        e->ended = last;
        user_of(*e).send(*e->c, text, last);
    }
    void stop_or_go() {
        const auto e = pick();
        if (!alive(e)) return;
        if (e->c->reading)
            e->c->reading = false;
        else
            user_of(*e).resume_reading(*e->c);
    }
    void reset(end* e) {
        if (!alive(e)) return;
        e->abandoned = true;
        session_of(*e).reset(*e->c->s, reset_code::cancelled);
    }
    void let_go(end* e) {
        if (!e || !e->c->s) return;
        // In the normal way, or in the middle of it: then the peer sees a reset.
        if (!e->c->reset && !(e->ended && e->c->to_send.empty() && e->c->ended))
            e->abandoned = true;
        user_of(*e).release(*e->c);
    }

    void move(bool up) {
        const auto which = in_.byte();
        const auto sent = in_.word();
        const auto received = in_.word();
        if (!both_.lines.empty()) both_.move(which % both_.lines.size(), up, sent, received);
    }
    void lose_link() {
        const auto which = in_.byte();
        if (!both_.lines.empty()) both_.cut(which % both_.lines.size());
    }
    void join() {
        const auto& client = both_.client.core();
        const auto& server = both_.server.core();
        if (client.closed() || server.closed() || !client.agreed().keeps) return;
        if (both_.lines.size() >= client.agreed().max_links) return;
        const bool done = both_.join();
        require(done || client.closed() || server.closed(), "a link cannot join");
    }

    recording_user& user_of(const end& e) {
        return is_client(e) ? both_.client_user : both_.server_user;
    }
    session& session_of(const end& e) {
        return is_client(e) ? both_.client.core() : both_.server.core();
    }
    bool is_client(const end& e) const {
        return std::any_of(clients_.begin(), clients_.end(),
                           [&](const end& c) { return &c == &e; });
    }

    /// Streams that the server has come to know since.
    void match() {
        auto& known = both_.server_user.streams;
        while (servers_.size() < known.size())
            servers_.emplace_back().c = &known[servers_.size()];
    }
    end* peer_of(const end& server) {
        if (server.c->received.empty()) return nullptr;
        const auto index = static_cast<std::size_t>(server.c->received[0] - 'a');
        require(index < clients_.size(), "a request that nobody sent");
        return &clients_[index];
    }

    /// Both are honest: neither may find a fault in the other. They may lose the link, and be
    /// asked for more PINGs than a peer takes.
    static void check_end(const session& core) {
        const auto why = core.error();
        require(!core.closed() || why == errc::link_lost || why == errc::keepalive_timeout ||
                    why == errc::flood_of_pings || why == errc::acks_withheld ||
                    why == errc::closed_by_peer || why == errc::closed_locally,
                "a session ended for a fault of its honest peer");
    }

    void look() {
        match();
        check_end(both_.client.core());
        check_end(both_.server.core());
        for (auto& server : servers_) {
            const auto client = peer_of(server);
            if (!client) {
                require(!server.c->ended, "a stream ended before its request");
                continue;
            }
            check(*client, server);
            check(server, *client);
        }
    }
    static void check(const end& from, const end& to) {
        const auto& got = to.c->received;
        require(from.given.compare(0, got.size(), got) == 0,
                "what was received is not what was sent");
        require(!to.c->ended || (from.ended && got.size() == from.given.size()),
                "an end was seen where none was");
    }

    void let_go_on() {
        if (both_.lines.empty()) join();
        for (auto* side : {&clients_, &servers_})
            for (auto& e : *side)
                if (alive(&e) && !e.c->reading) user_of(e).resume_reading(*e.c);
        both_.run_until([this] { return finished(); }, 5min);
        look();
        if (!over()) require(finished(), "something never arrives");
        for (auto* user : {&both_.client_user, &both_.server_user})
            for (auto& c : user->streams)
                if (c.s) user->release(c);
        both_.run_for(1min);
        require(over() ||
                    both_.client.core().stream_count() + both_.server.core().stream_count() == 0,
                "a stream never ends");
        both_.client.core().close(close_code::normal, errc::closed_locally, "over");
        both_.run_for(1min);
        if (!both_.server.core().closed())
            both_.server.core().close(close_code::normal, errc::closed_locally, "over");
        both_.server.settle();
        require(both_.client.core().memory_held() == 0 && both_.server.core().memory_held() == 0,
                "memory is held at the end");
    }
    bool over() { return both_.client.core().closed() || both_.server.core().closed(); }
    bool finished() {
        match();
        for (auto& server : servers_) {
            const auto client = peer_of(server);
            if (!client) continue;
            if (!arrived(*client, server) || !arrived(server, *client)) return false;
        }
        // Every stream that still has a chance has come to be known.
        return std::none_of(both_.lines.begin(), both_.lines.end(), [&](const auto& each) {
            return both_.client.core().wants_turn(each->number) ||
                   both_.server.core().wants_turn(each->number);
        });
    }
    static bool arrived(const end& from, const end& to) {
        if (!alive(&from) && !from.ended) return true;
        if (from.c->reset || from.abandoned || to.c->reset || to.abandoned) return true;
        return to.c->received.size() == from.given.size() && to.c->ended == from.ended;
    }

    input& in_;
    two_sessions both_;
    std::deque<end> clients_;
    std::deque<end> servers_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, std::min<std::size_t>(size, 600));
    sim::seed_test_random(1);
    game(in).play();
    return 0;
}
