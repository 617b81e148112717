// Links of a session: how they join, what goes by which, and what becomes of what they had.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

std::string down(link_number link, errc why) {
    return "down " + std::to_string(link) + ": " + make_error_code(why).message();
}
std::string closed(errc why) { return "closed: " + make_error_code(why).message(); }

join_frame join_of(const session& core, link_number number) {
    join_frame frame;
    frame.id = core.id();
    frame.number = number;
    frame.proof = core.proofs().join_proof(number, {});
    return frame;
}

} // namespace

TEST_CASE("a client joins, and looks at nothing before the server has proved itself") {
    lone client(role::client);
    client.establish();
    const auto number = client.core.join({}, client.now);
    CHECK(number == 1);
    CHECK(client.sent(number) == lines{"JOIN 1"});
    const auto proof = client.core.proofs().join_ok_proof(number, {});
    SECTION("a right answer, behind an extension") {
        client.feed(number, control(octets{0x99}) + control(encode(join_ok_frame{1, proof})));
        CHECK(client.told() == lines{"up 1"});
        CHECK(client.core.link_count() == 2);
    }
    SECTION("a wrong proof ends the link alone") {
        client.feed(number, control(encode(join_ok_frame{1, digest{}})));
        CHECK(client.told() == lines{down(1, errc::bad_join_answer)});
    }
    SECTION("another number") {
        client.feed(number, control(encode(join_ok_frame{2, proof})));
        CHECK(client.told() == lines{down(1, errc::bad_join_answer)});
    }
    SECTION("CLOSE before the answer closes nothing") {
        client.feed(number, control(encode(close_frame{})));
        CHECK(client.told() == lines{down(1, errc::control_out_of_order)});
    }
    SECTION("a stream's frame") {
        client.feed(number, rst(1));
        CHECK(client.told() == lines{down(1, errc::control_out_of_order)});
    }
    SECTION("a refusal") {
        client.feed(number, control(encode(join_fail_frame{join_failure::try_later, 9})));
        CHECK(client.told() == lines{"not joined 1"});
        CHECK(client.core.join_answer().retry_ms == 9);
    }
    SECTION("no answer in time") {
        client.pass(6s);
        CHECK(client.told() == lines{down(1, errc::handshake_timeout)});
    }
    CHECK(client.core.attached());
    CHECK_FALSE(client.core.closed());
}

TEST_CASE("a number of a link is used once") {
    lone server(role::server);
    server.establish();
    const auto code_of = [&](const join_frame& frame) {
        const auto failure = server.core.on_join(frame, {}, server.now);
        server.settle();
        return failure ? static_cast<int>(failure->code) : 0;
    };
    CHECK(code_of(join_of(server.core, 2)) == 0);
    CHECK(code_of(join_of(server.core, 2)) == 2);
    CHECK(code_of(join_of(server.core, 0)) == 2);
    CHECK(code_of(join_of(server.core, 1)) == 0);
    SECTION("a wrong proof uses none") {
        auto wrong = join_of(server.core, 3);
        wrong.proof[0] ^= 1;
        CHECK(code_of(wrong) == 1);
        CHECK(code_of(join_of(server.core, 3)) == 0);
    }
    SECTION("nor does a right one for which there is no room") {
        const auto asked = join_of(server.core, 3);
        auto wrong = asked;
        wrong.proof[0] ^= 1;
        CHECK(server.core.on_join(wrong, {}, server.now, false)->code ==
              join_failure::unknown_session);
        CHECK(server.core.on_join(asked, {}, server.now, false)->code == join_failure::try_later);
        CHECK(code_of(asked) == 0);
    }
    SECTION("a DROP uses one up, in front of its JOIN") {
        server.feed(0, drop(3, 0));
        CHECK(code_of(join_of(server.core, 3)) == 2);
    }
    SECTION("another session's") {
        auto other = join_of(server.core, 3);
        other.id[0] ^= 1;
        CHECK(code_of(other) == 1);
    }
    SECTION("before there is a session") {
        lone fresh(role::server);
        fresh.core.on_link({}, fresh.now);
        CHECK(fresh.core.on_join(join_of(fresh.core, 1), {}, fresh.now));
    }
}

TEST_CASE("one link too many takes the place of the one that was silent for longest") {
    auto settings = lone::settings_of(role::server);
    settings.max_links = 2;
    lone server(settings);
    server.establish();
    server.pass(1s);
    const auto first = server.join();
    server.pass(1s);
    server.feed(0, ack(0));
    server.told();
    SECTION("not the one that joins") {
        server.join();
        CHECK(server.told() == lines{down(first, errc::link_replaced)});
    }
    SECTION("none, where the client has given one up in the same read") {
        CHECK_FALSE(server.core.on_join(join_of(server.core, 9), {}, server.now));
        server.feed(9, drop(0, 0));
        CHECK(server.told() == lines{down(0, errc::link_given_up)});
        CHECK(server.core.link_count() == 2);
    }
}

TEST_CASE("what links hold outside of it is the session's memory") {
    lone server(role::server);
    server.establish();
    const auto before = server.core.memory_held();
    server.core.charge_links(100'000);
    CHECK(server.core.memory_held() >= before + 100'000);
    server.core.charge_links(0);
    CHECK(server.core.memory_held() == before);
}

TEST_CASE("what a lost link had goes by another, behind its DROP") {
    lone client(role::client);
    client.establish();
    client.open("one");
    client.sent();
    client.feed(0, credit(1, 500'000) + data(1, 0, "reply"));
    SECTION("by one that stands") {
        const auto second = client.join();
        client.told();
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK(client.told() == lines{down(0, errc::link_lost)});
        CHECK(client.sent(second) == lines{"DROP 0 frames 1", "DATA 1 @0 SYN one"});
    }
    SECTION("by one that joins, at once behind JOIN") {
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK(client.told() == lines{down(0, errc::link_lost), "detached"});
        const auto second = client.core.join({}, client.now);
        CHECK(client.sent(second) == lines{"JOIN 1", "DROP 0 frames 1", "DATA 1 @0 SYN one"});
        client.feed(
            second,
            control(encode(join_ok_frame{second, client.core.proofs().join_ok_proof(second, {})})));
        CHECK(client.told() == lines{"up 1", "attached"});
        client.feed(second, ack(2));
        CHECK(client.sent(second).empty());
        CHECK(client.core.kept_held() == 0);
    }
}

TEST_CASE("what a lost link had brought does not go again once the peer says so") {
    lone client(role::client);
    client.establish();
    auto& o = client.open("one");
    client.sent();
    client.send(o, "two");
    client.sent();
    client.core.on_link_lost(0, errc::link_lost, client.now);
    const auto second = client.core.join({}, client.now);
    const auto answer =
        control(encode(join_ok_frame{second, client.core.proofs().join_ok_proof(second, {})}));
    SECTION("in part") {
        client.feed(second, answer + drop(0, 1));
        CHECK(client.sent(second) == lines{"JOIN 1", "ACK 1", "DROP 0 frames 0", "DATA 1 @3 two"});
        CHECK(client.core.statistics().frames_acked == 1);
    }
    SECTION("all of it") {
        client.feed(second, answer + drop(0, 2));
        CHECK(client.sent(second) == lines{"JOIN 1", "ACK 1", "DROP 0 frames 0"});
        client.feed(second, ack(1));
        CHECK(client.core.kept_held() == 0);
    }
    SECTION("not of what has gone again meanwhile") {
        CHECK(client.sent(second) ==
              lines{"JOIN 1", "DROP 0 frames 0", "DATA 1 @0 SYN one", "DATA 1 @3 two"});
        client.feed(second, answer + drop(0, 2));
        CHECK(client.core.statistics().frames_acked == 0);
    }
}

TEST_CASE("a DROP of a link that has brought frames is answered") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "a", flag::syn | flag::data));
    const auto second = server.join();
    server.feed(second, drop(0, 0));
    CHECK(server.sent(second) == lines{"ACK 1", "DROP 0 frames 1"});
}

TEST_CASE("at most 64 KiB follow JOIN before its answer") {
    lone client(role::client);
    hello_frame theirs;
    theirs.initial_window = 1 << 20;
    client.establish(theirs);
    auto& o = client.open("one");
    client.sent();
    client.core.on_link_lost(0, errc::link_lost, client.now);
    client.send(o, std::string(300'000, 'x'));
    const auto second = client.core.join({}, client.now);
    const auto early = client.output(second).size();
    CHECK(early > 60'000);
    CHECK(early <= 64 * 1024);
    client.feed(
        second,
        control(encode(join_ok_frame{second, client.core.proofs().join_ok_proof(second, {})})));
    CHECK(client.output(second).size() > 230'000);
}

TEST_CASE("a DROP acknowledges, and its own link never carries it") {
    lone client(role::client);
    client.establish();
    client.open("one");
    client.sent();
    const auto second = client.join();
    client.told();
    SECTION("what it says is not sent again") {
        client.feed(second, drop(0, 1));
        CHECK(client.told() == lines{down(0, errc::link_given_up)});
        CHECK(client.sent(second).empty());
    }
    SECTION("the rest is") {
        client.feed(second, drop(0, 0));
        CHECK(client.sent(second) == lines{"ACK 1", "DATA 1 @0 SYN one"});
    }
    SECTION("below an earlier ACK it is ignored") {
        client.feed(0, ack(1));
        client.feed(second, drop(0, 0));
        CHECK(client.sent(second).empty());
    }
    SECTION("above what was sent it ends the session") {
        client.feed(second, drop(0, 2));
        CHECK(client.told().back() == closed(errc::ack_beyond_sent));
    }
    SECTION("by its own link") {
        client.feed(second, drop(second, 0));
        CHECK(client.told().back() == closed(errc::bad_drop));
    }
    SECTION("for a link that there never was") {
        client.feed(second, drop(7, 0));
        CHECK(client.told().back() == closed(errc::bad_drop));
    }
    SECTION("what comes on the link behind it is not processed") {
        client.feed(second, drop(0, 1));
        client.told();
        client.feed(0, data(1, 0, "late"));
        client.pass(30ms);
        CHECK(client.sent(second) == lines{"ACK 1"});
    }
}

TEST_CASE("a grant that a lost link carried is said again") {
    auto settings = lone::settings_of(role::server);
    settings.initial_window = 64;
    settings.stream_window_max = 64;
    lone server(settings);
    server.establish();
    const auto second = server.join();
    server.core.set_roles({0, link_roles::none, {0, link_roles::none, link_roles::none}});
    server.feed(second, data(1, 0, std::string(40, 'x'), flag::syn | flag::data));
    CHECK(server.sent(0) == lines{"CREDIT 1 104"});
    server.core.on_link_lost(0, errc::link_lost, server.now);
    CHECK(server.sent(second) == lines{"ACK 1", "CREDIT 1 104", "DROP 0 frames 0"});
}

TEST_CASE("each link acknowledges what it brought, and CLOSE goes by all") {
    lone server(role::server);
    server.establish();
    const auto second = server.join();
    server.feed(0, data(1, 0, "a", flag::syn | flag::data));
    server.feed(second, data(1, 1, "b") + data(1, 1, "b"));
    server.pass(20ms);
    CHECK(server.sent(0) == lines{"ACK 1"});
    CHECK(server.sent(second) == lines{"ACK 2"});
    server.core.close(close_code::normal, errc::closed_locally, "bye");
    CHECK(server.sent(0) == lines{"CLOSE 0: bye"});
    CHECK(server.sent(second) == lines{"CLOSE 0: bye"});
}

TEST_CASE("small frames go by two links where the policy says so") {
    lone client(role::client);
    client.establish();
    const auto second = client.join();
    client.core.set_roles({0, second, {0, link_roles::none, link_roles::none}});
    client.core.set_twice(1000);
    client.open("key");
    CHECK(client.sent(0) == lines{"DATA 1 @0 SYN key"});
    CHECK(client.sent(second) == lines{"DATA 1 @0 SYN key"});
    client.feed(0, ack(1));
    CHECK_FALSE(client.core.may_end());
    CHECK(client.core.kept_held() > 0);
    client.feed(second, ack(1));
    CHECK(client.core.kept_held() == 0);
}

TEST_CASE("bulk goes by its own link") {
    lone client(role::client);
    client.establish();
    auto& o = client.open("one");
    client.sent();
    client.feed(0, ack(1));
    const auto second = client.join();
    client.core.set_roles({0, link_roles::none, {second, link_roles::none, link_roles::none}});
    o.s->bulk = true;
    client.send(o, "bulk");
    CHECK(client.sent(0).empty());
    CHECK(client.sent(second) == lines{"DATA 1 @3 bulk"});
}

TEST_CASE(
    "a link that gives no sign of life while others do is avoided, and what it holds copied") {
    lone client(role::client);
    client.establish();
    const auto second = client.join();
    client.core.set_roles({0, link_roles::none, {0, link_roles::none, link_roles::none}});
    client.open("one");
    CHECK(client.sent(0) == lines{"DATA 1 @0 SYN one"});
    client.pass(1s);
    CHECK(client.sent(0) == lines{"PING"});
    CHECK(client.sent(second) == lines{"PING"});
    CHECK_FALSE(client.core.avoids(0));
    client.pass(50ms);
    client.feed(second, frame(0, flag::pong, octets(8)));
    CHECK(client.core.avoids(0));
    CHECK(client.sent(second) == lines{"DATA 1 @0 SYN one"});
    SECTION("until a byte comes") {
        client.feed(0, ack(1));
        CHECK_FALSE(client.core.avoids(0));
        client.open("two");
        CHECK(client.sent(0) == lines{"DATA 3 @0 SYN two"});
        client.feed(second, ack(1));
        CHECK_FALSE(client.core.may_end());
    }
    SECTION("and when it is lost nothing is sent a third time") {
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK(client.sent(second) == lines{"DROP 0 frames 0"});
        client.feed(second, ack(2));
        CHECK(client.core.kept_held() == 0);
    }
}

TEST_CASE("a peer that asks on another link is a reason to doubt a silent one sooner") {
    lone server(role::server);
    server.establish();
    const auto second = server.join();
    server.core.set_roles({0, link_roles::none, {0, link_roles::none, link_roles::none}});
    server.feed(0, data(1, 0, "one", flag::syn | flag::data));
    server.pass(20ms);
    CHECK(server.sent(0) == lines{"ACK 1"});
    const auto asked_after = [&](duration time) {
        server.pass(time);
        server.feed(second, frame(0, flag::ping, octets(8)));
        return server.sent(second);
    };
    CHECK(asked_after(200ms) == lines{"PONG"});
    CHECK(server.sent(0).empty());
    CHECK(asked_after(100ms) == lines{"PONG", "PING"});
    CHECK(server.sent(0) == lines{"PING"});
    auto& answering = server.opened(1);
    SECTION("the other one answers first, and it not in time") {
        server.pass(5ms);
        server.feed(second, frame(0, flag::pong, octets(8)));
        CHECK_FALSE(server.core.avoids(0));
        server.send(answering, "answer");
        CHECK(server.sent(0) == lines{"DATA 1 @0 answer"});
        server.pass(5ms);
        CHECK(server.core.avoids(0));
        CHECK(server.sent(second) == lines{"DATA 1 @0 answer"});
    }
    SECTION("it answers in time") {
        server.pass(5ms);
        server.feed(second, frame(0, flag::pong, octets(8)));
        server.feed(0, frame(0, flag::pong, octets(8)));
        server.pass(1s);
        CHECK_FALSE(server.core.avoids(0));
    }
    SECTION("none answers") {
        server.pass(5s);
        CHECK_FALSE(server.core.avoids(0));
    }
}

TEST_CASE("a session without resumption lives as long as a link does, or joins") {
    auto settings = lone::settings_of(role::client);
    settings.resume = false;
    lone client(settings);
    client.establish();
    SECTION("another link stands") {
        client.join();
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK_FALSE(client.core.closed());
        client.core.on_link_lost(1, errc::link_lost, client.now);
        CHECK(client.core.closed());
    }
    SECTION("another link joins") {
        client.core.join({}, client.now);
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK_FALSE(client.core.closed());
        client.pass(6s);
        CHECK(client.core.closed());
    }
    SECTION("none") {
        client.core.on_link_lost(0, errc::link_lost, client.now);
        CHECK(client.told().back() == closed(errc::link_lost));
    }
}

TEST_CASE("a session of one link that cannot be resumed keeps nothing and acknowledges nothing") {
    auto settings = lone::settings_of(role::server);
    settings.resume = false;
    settings.max_links = 1;
    lone server(settings);
    server.establish();
    server.feed(0, data(1, 0, "request", flag::syn | flag::data));
    server.core.write(*server.opened(1).s, octets{'y', 'e', 's'});
    CHECK(server.sent() == lines{"DATA 1 @0 yes"});
    CHECK(server.core.kept_held() == 0);
    server.pass(1s);
    CHECK(server.sent().empty());
    CHECK(server.core.on_join(join_of(server.core, 1), {}, server.now));
}

} // namespace muxsocks::tests
