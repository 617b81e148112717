// The state of a session: its bytes, what is refused, and that a session goes on from it.

#include "protocol/session/state.hpp"

#include "protocol/link/tls/session_crypto.hpp"
#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/session_state.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

octets as_bytes(std::string_view text) { return {text.begin(), text.end()}; }

/// One of a server with a bit of everything; tests/vectors has its bytes.
session_state a_state() {
    session_state s;
    s.side = role::server;
    s.id.fill(0x1d);
    s.secret.fill(0x5e);
    s.own_window = 256 * 1024;
    s.own_max_streams = 16'384;
    s.agreed.peer_window = 65'536;
    s.agreed.peer_max_streams = 0;
    s.agreed.stream_limit = 100;
    s.agreed.resume_timeout_ms = 120'000;
    s.agreed.max_links = 4;
    s.agreed.resumable = s.agreed.keeps = s.agreed.notices = true;
    s.agreed.user = "laptop";
    s.highest_link = 3;
    s.used_links = 0b101;
    s.drops = {{2, 9}, {3, 40}};
    s.highest_id = 9;
    s.missing = {{3, 5}};
    s.refusals = {7};
    s.goaway = goaway_frame{9, 3, 30'000, "stopping"};
    s.goaway_due = true;
    s.flood_levels = {20'000, 1'000, 999, 1'000, 32'768, 200, 1'000};
    s.counted = {2, 100, 200};
    s.kept = {{3, 12, data(1, 4, "unheard") + rst(7, reset_code::refused)}};
    s.owner = as_bytes("whose");
    stream_state first;
    first.id = 1;
    first.owned = first.request_done = first.connected = first.credited = true;
    first.sent = 11;
    first.limit = 65'536;
    first.received = 20;
    first.consumed = 14;
    first.announced = 262'158;
    first.window = 262'144;
    first.top = 32;
    first.final_size = 32;
    first.unread = as_bytes("unread");
    first.own = as_bytes("own");
    first.beyond = {{25, as_bytes("beyond")}};
    first.owner = as_bytes("relay");
    stream_state refused;
    refused.id = 9;
    refused.fin_wanted = refused.fin_sent = refused.discarding = refused.request_done = true;
    refused.sent = 10;
    refused.limit = 65'536;
    refused.received = refused.consumed = refused.top = 12;
    refused.announced = refused.window = 262'144;
    refused.due_ms = 9'500;
    s.streams = {first, refused};
    return s;
}

std::error_code fault_of(const octets& bytes) {
    std::error_code why;
    CHECK_FALSE(decode_state(bytes, session_crypto(), why).has_value());
    return why;
}

/// What is refused although its bytes are whole.
std::error_code fault_of(const session_state& s) { return fault_of(encode(s, session_crypto())); }

/// What the session sends on a link that joins, the answer to JOIN left out.
lines joined(lone& one, link_number number) {
    join_frame asked;
    asked.id = one.core.id();
    asked.number = number;
    asked.proof = one.core.proofs().join_proof(number, {});
    CHECK_FALSE(one.core.on_join(asked, {}, one.now).has_value());
    one.settle();
    auto said = one.sent(number);
    said.erase(said.begin());
    return said;
}

session_state handed_over(lone& from) {
    const auto saved = from.core.save(
        from.now, [](stream& s, stream_state& to) { to.owner = {std::uint8_t(s.id)}; });
    std::error_code why;
    const auto crypto = sim::test_crypto();
    auto taken = decode_state(encode(saved, crypto), crypto, why);
    REQUIRE(taken.has_value());
    return *taken;
}

} // namespace

TEST_CASE("the state of a session has these bytes, for ever") {
    const auto golden = hex(session_state_1);
    CHECK(to_hex(encode(a_state(), session_crypto())) == to_hex(golden));
    std::error_code why;
    const auto read = decode_state(golden, session_crypto(), why);
    REQUIRE(read.has_value());
    CHECK(to_hex(encode(*read, session_crypto())) == to_hex(golden));
    CHECK(read->agreed.user == "laptop");
    CHECK(read->streams.at(0).beyond.at(0).offset == 25);
    CHECK(read->streams.at(1).due_ms == 9'500);
}

TEST_CASE("a state that is not whole is refused") {
    const auto golden = hex(session_state_1);
    SECTION("cut off anywhere") {
        for (std::size_t size = 1; size < golden.size(); ++size) {
            const auto why =
                fault_of(octets(golden.begin(), golden.begin() + std::ptrdiff_t(size)));
            CHECK(why == state_errc::cut_off);
        }
        CHECK(fault_of(octets()) == state_errc::not_a_state);
    }
    SECTION("changed anywhere") {
        for (std::size_t at = 19; at < golden.size(); ++at) {
            auto changed = golden;
            changed[at] ^= 0x10;
            CHECK(fault_of(changed));
        }
    }
    SECTION("with more behind it") { CHECK(fault_of(golden + octets{0}) == state_errc::changed); }
    SECTION("of another format") {
        auto other = golden;
        other[17] = 2;
        CHECK(fault_of(other) == state_errc::other_format);
    }
    SECTION("something else") {
        CHECK(fault_of(as_bytes("{\"state\": 1}")) == state_errc::not_a_state);
    }
}

TEST_CASE("a state that no session can be in is refused") {
    auto s = a_state();
    auto& first = s.streams[0];
    REQUIRE(is_possible(s));
    SECTION("no numbers left for links") { s.next_link = 0xffff'0001; }
    SECTION("more sent than there was credit for") { first.sent = first.limit + 1; }
    SECTION("bytes unread that never came") { first.unread.resize(7); }
    SECTION("bytes beyond a gap that is none") { first.beyond[0].offset = 20; }
    SECTION("bytes beyond the highest end") { first.top = 27; }
    SECTION("more received than there was credit for") { first.announced = 31; }
    SECTION("an end in front of what came") { first.final_size = 31; }
    SECTION("an end that came, with bytes missing") { first.fin_received = true; }
    SECTION("own bytes behind the end") { first.fin_sent = true; }
    SECTION("closed, and nobody's") { first.closed = true, first.owned = false; }
    SECTION("an id of ours") { first.id = 2; }
    SECTION("an id that is missing") { first.id = 3; }
    SECTION("an id that was not used") { first.id = 11; }
    SECTION("an id twice") { first.id = 9; }
    SECTION("half a frame") { s.kept[0].frames.pop_back(); }
    SECTION("a frame that is not kept") { s.kept[0].frames = credit(1, 5); }
    SECTION("a frame of bytes that were not sent") { s.kept[0].frames = data(1, 6, "unheard"); }
    SECTION("missing ids in no order") { s.missing = {{5, 5}, {3, 3}}; }
    SECTION("GOAWAY that is due and is none") { s.goaway.reset(); }
    SECTION("no time without a link") { s.agreed.resume_timeout_ms = 0; }
    SECTION("a server's stream that waits to be opened") {
        first = stream_state();
        first.owned = first.request_done = true;
        first.announced = first.window = 262'144;
        s.kept.clear();
    }
    CHECK(fault_of(s) == state_errc::impossible);
}

TEST_CASE("a stream that waits to be opened has neither said nor heard anything") {
    lone one(role::client);
    one.establish();
    one.core.on_link_lost(0, errc::link_lost, one.now);
    one.open("request");
    auto s = one.core.save(one.now, {});
    auto& waiting = s.streams.at(0);
    REQUIRE(waiting.id == 0);
    REQUIRE(is_possible(s));
    SECTION("bytes sent") { waiting.limit = waiting.sent = 1; }
    SECTION("bytes received") { waiting.received = waiting.consumed = waiting.top = 1; }
    SECTION("bytes beyond a gap") { waiting.top = 9; }
    SECTION("its peer's end") { waiting.final_size = 0; }
    SECTION("CREDIT") { waiting.credited = true; }
    SECTION("a time to end in") { waiting.discarding = true, waiting.due_ms = 1; }
    CHECK_FALSE(is_possible(s));
}

TEST_CASE("a session is saved with a stream that was given up before it was opened") {
    lone one(role::client);
    one.establish();
    one.core.on_link_lost(0, errc::link_lost, one.now);
    one.core.reset(*one.open("request").s, reset_code::cancelled);
    const auto s = one.core.save(one.now, {});
    REQUIRE(s.streams.size() == 1);
    CHECK(s.streams[0].closed);
    CHECK(is_possible(s));
}

TEST_CASE("a server's session goes on from its state") {
    lone old(role::server);
    old.establish();
    old.feed(0, data(1, 0, "request", flag::syn | flag::data));
    old.send(old.opened(1), "reply");
    CHECK(old.sent() == lines{"ACK 1", "DATA 1 @0 reply"});
    old.feed(0, data(1, 9, "later"));
    auto state = handed_over(old);

    lone fresh(settings_for(lone::settings_of(role::server), state));
    const auto streams = fresh.core.restore(state, fresh.now);
    REQUIRE(streams.size() == 1);
    CHECK(state.streams[0].owner == octets{1});
    CHECK(fresh.core.established());
    CHECK_FALSE(fresh.core.attached());
    CHECK(fresh.core.id() == old.core.id());
    CHECK(fresh.core.memory_held() > 0);

    SECTION("what was not acknowledged is sent again, and the lost link given up") {
        CHECK(joined(fresh, 1) == lines{"DROP 0 frames 2", "DATA 1 @0 reply"});
        fresh.feed(1, ack(2));
        CHECK(fresh.core.kept_held() == 0);
    }
    SECTION("what the lost link has carried after all is not sent again") {
        join_frame asked;
        asked.id = fresh.core.id();
        asked.number = 1;
        asked.proof = fresh.core.proofs().join_proof(1, {});
        CHECK_FALSE(fresh.core.on_join(asked, {}, fresh.now).has_value());
        fresh.feed(1, drop(0, 1));
        CHECK(fresh.sent(1) == lines{"JOIN_OK 1", "ACK 1", "DROP 0 frames 2"});
    }
    SECTION("what came beyond a gap is there when the gap is filled") {
        lone::owner heir;
        heir.s = streams[0];
        streams[0]->context = &heir;
        joined(fresh, 1);
        fresh.feed(1, data(1, 7, ", "));
        CHECK(heir.received == ", later");
    }
    SECTION("a number of a link is not used twice") {
        joined(fresh, 1);
        state = handed_over(fresh);
        lone third(settings_for(lone::settings_of(role::server), state));
        third.core.restore(state, third.now);
        join_frame again;
        again.id = third.core.id();
        again.number = 1;
        again.proof = third.core.proofs().join_proof(1, {});
        CHECK(third.core.on_join(again, {}, third.now)->code == join_failure::number_used);
    }
}

TEST_CASE("a client's session goes on from its state") {
    lone old(role::client);
    old.establish();
    old.open("first");
    CHECK(old.sent() == lines{"DATA 1 @0 SYN first"});
    old.core.on_link_lost(0, errc::link_lost, old.now);
    old.settle();
    old.open("second"); // It waits for a link.
    const auto state = handed_over(old);
    lone fresh(settings_for(lone::settings_of(role::client), state));
    CHECK(fresh.core.restore(state, fresh.now).size() == 2);
    CHECK(fresh.core.opening_count() == 1);
    const auto number = fresh.core.join({}, fresh.now);
    CHECK(number == 1);
    const auto said = fresh.sent(number);
    CHECK(std::find(said.begin(), said.end(), "DATA 3 @0 SYN second") != said.end());
}

TEST_CASE("a session whose peer allows any number of streams is saved") {
    // Its burst of CREDIT is twice that number, which is more than the format holds.
    auto state = a_state();
    state.agreed.peer_max_streams = 0xffff'ffff;
    state.flood_levels[4] = 0xffff'ffff;
    lone one(settings_for(lone::settings_of(role::server), state));
    one.core.restore(state, one.now);
    one.now += 24h;
    CHECK(one.core.save(one.now, {}).flood_levels.at(4) == 0xffff'ffff);
}

TEST_CASE("a session that cannot be without a link is not saved") {
    auto settings = lone::settings_of(role::server);
    settings.resume = false;
    lone one(settings);
    one.establish();
    CHECK_FALSE(one.core.may_be_saved());
}

TEST_CASE("saving a session changes nothing") {
    lone one(role::server);
    one.establish();
    one.feed(0, data(1, 0, "request", flag::syn | flag::data));
    (void)handed_over(one);
    one.send(one.opened(1), "reply");
    CHECK(one.sent() == lines{"ACK 1", "DATA 1 @0 reply"});
}

} // namespace muxsocks::tests
