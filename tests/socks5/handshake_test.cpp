#include "socks5/handshake.hpp"

#include "socks5/credentials.hpp"
#include "socks5/error.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"

#include <cstdlib>
#include <new>
#include <random>
#include <string>

namespace socks5 = muxsocks::socks5;
using muxsocks::tests::hex;
using muxsocks::tests::test_seed;
using muxsocks::tests::to_hex;
using socks5::address;
using socks5::errc;
using socks5::handshake_state;
using socks5::server_handshake;

namespace {

/// Allocations of this thread, for the test that counts them.
thread_local std::size_t allocations = 0;

} // namespace

void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc{};
}
// The nothrow form as well: the sanitizer's own would not go with the delete below.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++allocations;
    return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using byte_vector = std::vector<std::uint8_t>;

byte_vector operator+(byte_vector a, const byte_vector& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

const byte_vector greeting_none = hex("05 01 00");
const byte_vector greeting_password = hex("05 02 00 02");
const byte_vector alice = hex("01 "                        // VER
                              "05 61 6c 69 63 65 "         // UNAME: alice
                              "06 73 33 63 72 65 74");     // PASSWD: s3cret
const byte_vector mallory = hex("01 "                      // VER
                                "07 6d 61 6c 6c 6f 72 79 " // UNAME: mallory
                                "06 73 33 63 72 65 74");   // PASSWD: s3cret
const byte_vector connect_ipv4 = hex("05 01 00 01 c0 00 02 01 00 50");
const byte_vector connect_name = hex("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 01 bb");

bool is_alice(std::string_view user, std::string_view password) {
    return user == "alice" && password == "s3cret";
}

/// All that a conversation comes to, whatever the pieces in which it arrived.
struct outcome {
    handshake_state state = handshake_state::need_more;
    std::string sent;
    std::size_t used = 0;
    std::error_code error;
    socks5::reply_code rep = socks5::reply_code::succeeded;
    address dst;
};

/// Feeds `input` in pieces whose sizes `next_size` gives (0 means all the rest).
template <typename NextSize>
outcome run(const byte_vector& input, socks5::credential_check check, NextSize next_size) {
    server_handshake handshake{std::move(check)};
    outcome result;
    byte_vector sent;
    std::span<const std::uint8_t> rest{input};
    while (!rest.empty() && result.state == handshake_state::need_more) {
        const std::size_t wanted = next_size();
        // A buffer of its own size, so that a sanitizer sees a read behind it.
        const byte_vector piece(
            rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(
                                             wanted == 0 ? rest.size() : wanted, rest.size())));
        const auto step = handshake.on_input(piece);
        REQUIRE(step.used <= piece.size());
        if (step.state != handshake_state::request_ready) REQUIRE(step.used == piece.size());
        REQUIRE(bool(step.error) == (step.state == handshake_state::failed));
        REQUIRE(handshake.state() == step.state);
        sent.insert(sent.end(), step.to_send.begin(), step.to_send.end());
        rest = rest.subspan(step.used);
        result.used += step.used;
        result.state = step.state;
        result.error = step.error;
        result.rep = step.rep;
    }
    result.sent = to_hex(sent);
    if (result.state == handshake_state::request_ready) result.dst = handshake.request().dst;
    return result;
}

/// Runs it whole, byte by byte and in random pieces, requires that all come to the same, and
/// returns that.
outcome converse(const byte_vector& input, const socks5::credential_check& check = {}) {
    const auto whole = run(input, check, [] { return std::size_t{0}; });
    const auto require_same = [&whole](const outcome& other) {
        REQUIRE(other.state == whole.state);
        REQUIRE(other.sent == whole.sent);
        REQUIRE(other.error == whole.error);
        REQUIRE(other.rep == whole.rep);
        REQUIRE(other.dst == whole.dst);
        // After a failure a piece is taken whole, so only good ends have one count.
        if (whole.state != handshake_state::failed) REQUIRE(other.used == whole.used);
    };
    INFO("input: " << to_hex(input));
    require_same(run(input, check, [] { return std::size_t{1}; }));
    std::mt19937 random{test_seed()};
    for (int round = 0; round < 50; ++round) {
        INFO("seed " << test_seed() << ", round " << round);
        require_same(run(input, check, [&random] { return std::size_t{1 + random() % 12}; }));
    }
    return whole;
}

const std::string refusal_rest = " 00 01 00 00 00 00 00 00";

} // namespace

TEST_CASE("a handshake without users") {
    SECTION("comes to the request") {
        const auto result = converse(greeting_none + connect_ipv4);
        CHECK(result.state == handshake_state::request_ready);
        CHECK(result.sent == "05 00");
        CHECK(result.dst == address::from_ipv4({192, 0, 2, 1}, 80));
    }
    SECTION("comes to a request for a name") {
        const auto result = converse(greeting_none + connect_name);
        CHECK(result.state == handshake_state::request_ready);
        CHECK(result.dst == address::from_domain("example.org", 443));
    }
    SECTION("comes to a request for IPv6") {
        const auto result =
            converse(greeting_none +
                     hex("05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 1f 90"));
        CHECK(result.state == handshake_state::request_ready);
        CHECK(to_string(result.dst) == "[2001:db8::1]:8080");
    }
    SECTION("leaves what stands behind the request") {
        const auto data = hex("16 03 01 02 00 01 00");
        const auto result = converse(greeting_none + connect_ipv4 + data);
        CHECK(result.state == handshake_state::request_ready);
        CHECK(result.used == greeting_none.size() + connect_ipv4.size());
    }
    SECTION("leaves even what looks like another request") {
        const auto result = converse(greeting_none + connect_ipv4 + connect_ipv4);
        CHECK(result.used == greeting_none.size() + connect_ipv4.size());
        CHECK(result.sent == "05 00");
    }
    SECTION("leaves more early data than any message has bytes") {
        const auto result = converse(greeting_none + connect_name + byte_vector(70'000, 0x05));
        CHECK(result.used == greeting_none.size() + connect_name.size());
    }
    SECTION("takes none when more is offered") {
        CHECK(converse(greeting_password + connect_ipv4).sent == "05 00");
    }
    SECTION("answers the greeting before the request is there") {
        const auto result = converse(greeting_none);
        CHECK(result.state == handshake_state::need_more);
        CHECK(result.sent == "05 00");
        CHECK(result.used == 3);
    }
    SECTION("takes any password of an application that insists on one") {
        const auto result = converse(hex("05 01 02") + alice + connect_ipv4);
        CHECK(result.state == handshake_state::request_ready);
        CHECK(result.sent == "05 02 01 00");
    }
    SECTION("refuses an application that insists on GSSAPI") {
        const auto result = converse(hex("05 01 01"));
        CHECK(result.state == handshake_state::failed);
        CHECK(result.sent == "05 ff");
        CHECK(result.error == errc::no_acceptable_method);
    }
    SECTION("refuses a greeting without methods") {
        const auto result = converse(hex("05 00"));
        CHECK(result.sent == "05 ff");
        CHECK(result.error == errc::no_acceptable_method);
    }
    SECTION("waits for nothing as long as nothing comes") {
        server_handshake handshake;
        const auto result = handshake.on_input({});
        CHECK(result.state == handshake_state::need_more);
        CHECK(result.used == 0);
        CHECK(result.to_send.empty());
    }
}

TEST_CASE("a handshake with users") {
    SECTION("lets the right password in") {
        const auto result = converse(greeting_password + alice + connect_ipv4, is_alice);
        CHECK(result.state == handshake_state::request_ready);
        CHECK(result.sent == "05 02 01 00");
        CHECK(result.dst == address::from_ipv4({192, 0, 2, 1}, 80));
    }
    SECTION("leaves what stands behind the request") {
        const auto result =
            converse(greeting_password + alice + connect_name + byte_vector(600, 0x01), is_alice);
        CHECK(result.used == greeting_password.size() + alice.size() + connect_name.size());
    }
    SECTION("refuses others") {
        const auto result = converse(greeting_password + mallory + connect_ipv4, is_alice);
        CHECK(result.state == handshake_state::failed);
        CHECK(result.sent == "05 02 01 01");
        CHECK(result.error == errc::password_rejected);
    }
    SECTION("gives the check exactly what was sent") {
        std::string seen;
        const auto note = [&seen](std::string_view user, std::string_view password) {
            seen = std::string{user} + "/" + std::string{password};
            return true;
        };
        converse(hex("05 01 02 01 00 02 00 ff"), note);
        CHECK(seen == std::string("/\0\xff", 3));
    }
    SECTION("takes the longest names in pieces") {
        const std::string longest(255, 'u');
        const auto check = [&longest](std::string_view user, std::string_view password) {
            return user == longest && password == longest;
        };
        const auto message = encode(socks5::password_request{longest, longest});
        const auto result = converse(greeting_password + message + connect_ipv4, check);
        CHECK(result.state == handshake_state::request_ready);
    }
    SECTION("refuses an application that offers no password") {
        const auto result = converse(greeting_none + connect_ipv4, is_alice);
        CHECK(result.state == handshake_state::failed);
        CHECK(result.sent == "05 ff");
        CHECK(result.error == errc::password_required);
    }
    SECTION("refuses a request in place of the password") {
        const auto result = converse(greeting_password + connect_ipv4, is_alice);
        CHECK(result.sent == "05 02 01 01");
        CHECK(result.error == errc::password_version);
    }
    SECTION("works with credentials") {
        socks5::credentials users;
        REQUIRE_FALSE(users.add("alice", "s3cret"));
        const auto check = [&users](std::string_view user, std::string_view password) {
            return users.check(user, password);
        };
        CHECK(converse(greeting_password + alice + connect_ipv4, check).state ==
              handshake_state::request_ready);
        CHECK(converse(greeting_password + mallory, check).error == errc::password_rejected);
    }
}

TEST_CASE("a handshake that cannot go on") {
    SECTION("answers every command but CONNECT with REP 07") {
        for (int cmd = 0; cmd < 256; ++cmd) {
            if (cmd == 1) continue;
            auto request = connect_ipv4;
            request[1] = static_cast<std::uint8_t>(cmd);
            server_handshake handshake;
            const auto result = handshake.on_input(greeting_none + request);
            INFO("command " << cmd);
            CHECK(result.state == handshake_state::failed);
            CHECK(result.error == errc::command_not_supported);
            CHECK(result.rep == socks5::reply_code::command_not_supported);
            CHECK(to_hex(result.to_send) == "05 00 05 07" + refusal_rest);
        }
    }
    SECTION("answers every unknown address type with REP 08") {
        for (int type = 0; type < 256; ++type) {
            if (type == 1 || type == 3 || type == 4) continue;
            auto request = connect_ipv4;
            request[3] = static_cast<std::uint8_t>(type);
            server_handshake handshake;
            const auto result = handshake.on_input(greeting_none + request);
            INFO("address type " << type);
            CHECK(result.error == errc::address_type_not_supported);
            CHECK(result.rep == socks5::reply_code::address_type_not_supported);
            CHECK(to_hex(result.to_send) == "05 00 05 08" + refusal_rest);
        }
    }
    SECTION("answers in any pieces") {
        CHECK(converse(greeting_none + hex("05 02 00 01 c0 00 02 01 00 50")).sent ==
              "05 00 05 07" + refusal_rest);
        CHECK(converse(greeting_none + hex("05 01 00 05")).sent == "05 00 05 08" + refusal_rest);
    }
    SECTION("answers with a password's status before it") {
        const auto result = converse(greeting_password + alice + hex("05 01 00 00"), is_alice);
        CHECK(result.sent == "05 02 01 00 05 08" + refusal_rest);
    }
    SECTION("answers wrong names with REP 01") {
        const auto empty = converse(greeting_none + hex("05 01 00 03 00 00 50"));
        CHECK(empty.error == errc::empty_domain);
        CHECK(empty.sent == "05 00 05 01" + refusal_rest);
        const auto invalid = converse(greeting_none + hex("05 01 00 03 03 61 00 62 00 50"));
        CHECK(invalid.error == errc::invalid_domain);
        CHECK(invalid.sent == "05 00 05 01" + refusal_rest);
    }
    SECTION("answers another version with REP 01") {
        const auto result = converse(greeting_none + hex("04 01 00 50"));
        CHECK(result.error == errc::request_version);
        CHECK(result.sent == "05 00 05 01" + refusal_rest);
    }
    SECTION("says nothing to what is not SOCKS5") {
        const auto text = [](std::string_view s) { return byte_vector{s.begin(), s.end()}; };
        const auto http = converse(text("GET / HTTP/1.1\r\n\r\n"));
        CHECK(http.error == errc::http_request);
        CHECK(http.sent.empty());
        CHECK(converse(hex("04 01 00 50 c0 00 02 01 00")).error == errc::socks4_request);
        CHECK(converse(hex("16 03 01 00 05 01")).error == errc::tls_client_hello);
        CHECK(converse(text("SSH-2.0-OpenSSH_9.2\r\n")).error == errc::not_socks5);
        CHECK(converse(text("SSH-2.0-OpenSSH_9.2\r\n"), is_alice).sent.empty());
    }
    SECTION("takes nothing after its end") {
        server_handshake ready;
        REQUIRE(ready.on_input(greeting_none + connect_ipv4).state ==
                handshake_state::request_ready);
        const auto more = ready.on_input(connect_name);
        CHECK(more.state == handshake_state::request_ready);
        CHECK(more.used == 0);
        CHECK(ready.request().dst == address::from_ipv4({192, 0, 2, 1}, 80));

        server_handshake failed;
        REQUIRE(failed.on_input(hex("04")).state == handshake_state::failed);
        const auto again = failed.on_input(greeting_none + connect_ipv4);
        CHECK(again.state == handshake_state::failed);
        CHECK(again.used == 0);
        CHECK(again.to_send.empty());
    }
}

TEST_CASE("the usual handshake does not allocate") {
    socks5::credentials users;
    REQUIRE_FALSE(users.add("alice", "s3cret"));
    const auto both = greeting_none + connect_ipv4;
    const auto with_password = greeting_password + alice;

    SECTION("in one piece") {
        const auto before = allocations;
        server_handshake handshake;
        const auto result = handshake.on_input(both);
        const auto after = allocations;
        CHECK(result.state == handshake_state::request_ready);
        CHECK(after - before == 0);
    }
    SECTION("a message at a time, with a user") {
        const auto before = allocations;
        server_handshake handshake{[&users](std::string_view user, std::string_view password) {
            return users.check(user, password);
        }};
        handshake.on_input(greeting_password);
        handshake.on_input(alice);
        const auto result = handshake.on_input(connect_ipv4);
        const auto after = allocations;
        CHECK(result.state == handshake_state::request_ready);
        CHECK(after - before == 0);
    }
    SECTION("byte by byte once") {
        const auto before = allocations;
        server_handshake handshake;
        for (const std::uint8_t byte : both)
            handshake.on_input({&byte, 1});
        const auto after = allocations;
        CHECK(handshake.state() == handshake_state::request_ready);
        CHECK(after - before == 1);
    }
}
