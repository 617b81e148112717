// The handshake in both roles. Mutated: two honest sides with someone in between who changes bytes;
// neither may come to be established with anything changed. Structured: one side, and frames of the
// input's making, with right and wrong proofs; without the key nobody gets in, and whatever comes
// the handshake is over, one way or the other, when its time is.

#include "protocol/session/session.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/sim/test_crypto.hpp"

#include <cstdio>
#include <cstdlib>

using namespace muxsocks;
using fuzz::input;

namespace {

constexpr digest key{1, 2, 3};
constexpr std::uint8_t exporter[32] = {4, 5, 6};
using bytes = std::vector<std::uint8_t>;

void require(bool fact, const char* text) {
    if (fact) return;
    std::fprintf(stderr, "violated: %s\n", text);
    std::abort();
}

class side {
  public:
    side(role which, std::uint8_t how) : session_(settings_of(which, how), now_) {
        session_.on_link((how & 4) == 0 ? bytes_view(exporter) : bytes_view(), now_);
    }

    session& core() { return session_; }
    bool in() const { return session_.established() && session_.version() >= 2; }

    void feed(bytes_view received) {
        unparsed_.insert(unparsed_.end(), received.begin(), received.end());
        const auto batch = unparsed_;
        const auto used = session_.on_bytes(0, batch, now_);
        settle();
        unparsed_.assign(batch.begin() + static_cast<std::ptrdiff_t>(used), batch.end());
    }

    bytes output() {
        bytes sent;
        for (int turns = 0; session_.wants_turn(0); ++turns) {
            if (turns > 10'000) std::abort(); // It would spin.
            session_.begin_turn(0, now_);
            while (const auto slot = session_.next_read())
                session_.on_read(*slot, 0, read_outcome::drained);
            chunk_ref keep;
            const auto turn = session_.end_turn(keep);
            sent.insert(sent.end(), turn.begin(), turn.end());
        }
        settle();
        return sent;
    }

    void pass(duration time) {
        const auto end = now_ + time;
        while (const auto due = session_.deadline()) {
            if (*due > end) break;
            now_ = std::max(now_, *due);
            session_.on_deadline(now_);
            settle();
            output();
        }
        now_ = end;
    }

  private:
    session_settings settings_of(role which, std::uint8_t how) {
        session_settings made;
        made.side = which;
        made.crypto = sim::test_crypto();
        made.pool = &pool_;
        made.allow_v1 = (how & 1) != 0;
        made.resume = (how & 2) == 0;
        made.channel_binding = (how & 4) == 0;
        made.max_streams = 4;
        made.max_links = 3;
        made.user = "me";
        made.key = key;
        made.find_user = [](std::string_view user) {
            return user == "me" ? std::optional(user_access{key, 0}) : std::nullopt;
        };
        return made;
    }
    void settle() {
        while (const auto e = session_.next_event())
            if (e->type == event::kind::opened || e->type == event::kind::reset)
                session_.release(*e->subject);
        session_.end_batch();
    }

    chunk_pool pool_{4096};
    instant now_{std::chrono::seconds(1)};
    session session_;
    bytes unparsed_;
};

// ---- Mutated

/// Passes on what `from` sends, in two pieces; the input changes up to three bytes of it. Returns
/// whether anything is not as it was.
bool pass_on(side& from, side& to, input& in) {
    const auto sent = from.output();
    auto arriving = sent;
    for (auto count = in.byte() % 4; count > 0 && !sent.empty(); --count) {
        const auto at = in.word() % sent.size();
        arriving[at] ^= in.byte();
    }
    const auto cut = sent.empty() ? 0 : in.byte() % (sent.size() + 1);
    to.feed(bytes_view(arriving).first(cut));
    to.feed(bytes_view(arriving).subspan(cut));
    return arriving != sent;
}

void somebody_in_between(input& in, std::uint8_t how) {
    side client(role::client, how & 6U);
    side server(role::server, (how >> 2) & 6U);
    bool changed = pass_on(client, server, in);       // HELLO
    changed = pass_on(server, client, in) || changed; // HELLO
    changed = pass_on(client, server, in) || changed; // AUTH
    require(!changed || !server.in(), "a server took an AUTH, and something was changed");
    changed = pass_on(server, client, in) || changed; // AUTH_OK
    require(!changed || !client.in(), "a client took an AUTH_OK, and something was changed");
    if (changed) return;
    const bool agree = ((how ^ (how >> 2)) & 4) == 0;
    require(client.in() == agree && server.in() == agree, "honest sides do not come together");
}

// ---- Structured

/// Makes frames as the input says, with proofs that are right if it knows the key.
class peer {
  public:
    peer(role plays, bool knows_key, bool binds) : plays_(plays), key_{9} {
        if (knows_key) key_ = key;
        if (binds) proofs_.on_first_link(exporter);
    }

    /// The other side's HELLO is part of what both prove.
    void hear(const bytes& sent) {
        if (sent.size() <= frame_header_size || sent[frame_header_size] != 0x01) return;
        const auto size = frame_header_size + decode_header(sent.data()).length;
        say(plays_ == role::server, bytes_view(sent).first(size).subspan(frame_header_size));
    }

    bytes next(input& in) {
        switch (in.byte() % 12) {
        case 0:
        case 1:
            return hello(in);
        case 2:
        case 3:
            return auth(in);
        case 4:
        case 5:
            return auth_ok(in);
        case 6:
            return frame(0, flag::ctrl, bytes{4, in.byte()});
        case 7:
            return frame(0, flag::ping, bytes(8));
        case 8:
            return frame(in.byte(), flag::syn, {});
        case 9: // Version 1's answer to HELLO.
            return frame(0, flag::rst, {});
        case 10: {
            const auto stream_id = in.byte();
            return frame(stream_id, flag::ctrl, in.bytes(in.byte() + std::size_t{1}));
        }
        default: {
            const auto raw = in.bytes(in.byte());
            return {raw.begin(), raw.end()};
        }
        }
    }

  private:
    /// The first HELLO of each side counts.
    void say(bool clients, bytes_view hello) {
        if (std::exchange(clients ? client_said_ : server_said_, true)) return;
        if (clients)
            proofs_.on_client_hello(hello);
        else
            proofs_.on_server_hello(hello);
    }
    static bytes frame(std::uint32_t stream_id, std::uint8_t flags, bytes_view payload) {
        bytes out(frame_header_size + payload.size());
        encode_header(out.data(), {stream_id, flags, static_cast<std::uint16_t>(payload.size())});
        std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
        return out;
    }
    bytes hello(input& in) {
        hello_frame made;
        const auto how = in.byte();
        if ((how & 1) != 0) made.version = in.byte();
        made.features = (how & 2) != 0 ? in.byte() : 3;
        made.initial_window = static_cast<std::uint32_t>(in.word());
        made.max_streams = in.byte();
        auto payload = encode(made);
        const auto tlvs = (how & 4) != 0 ? in.bytes(in.byte()) : bytes_view();
        payload.insert(payload.end(), tlvs.begin(), tlvs.end());
        say(plays_ == role::client, payload);
        return frame(0, flag::ctrl, payload);
    }
    bytes auth(input& in) {
        auth_frame made;
        const auto how = in.byte();
        made.method = (how & 1) != 0 ? in.byte() : 1;
        made.user = (how & 2) != 0 ? "you" : "me";
        made.mac = proofs_.client_mac(made.method, made.user, key_);
        return frame(0, flag::ctrl, encode(made));
    }
    bytes auth_ok(input& in) {
        auth_ok_frame made;
        made.resume_timeout_ms = static_cast<std::uint32_t>(in.word());
        (void)proofs_.client_mac(1, "me", key_);
        made.mac = proofs_.server_mac(made);
        return frame(0, flag::ctrl, encode(made));
    }

    role plays_;
    crypto_functions crypto_ = sim::test_crypto();
    digest key_;
    session_proofs proofs_{crypto_};
    bool client_said_ = false;
    bool server_said_ = false;
};

void somebody_else(input& in, std::uint8_t how) {
    const auto which = (how & 8) != 0 ? role::client : role::server;
    const bool knows_key = (how & 16) != 0;
    const bool binds = (how & 32) != 0;
    side tested(which, how & 7U);
    peer other(which == role::client ? role::server : role::client, knows_key, binds);
    other.hear(tested.output());
    while (!in.empty()) {
        tested.feed(other.next(in));
        other.hear(tested.output());
        require(!tested.in() || knows_key, "somebody came in without the key");
        require(!tested.in() || binds == ((how & 4) == 0), "a proof for another channel was taken");
    }
    tested.pass(std::chrono::seconds(11));
    require(tested.core().established() || tested.core().closed(), "a handshake without an end");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, size);
    const auto how = in.byte();
    sim::seed_test_random(1);
    if ((how & 64) != 0)
        somebody_in_between(in, how);
    else
        somebody_else(in, how);
    return 0;
}
