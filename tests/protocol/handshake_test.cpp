#include "protocol/handshake.hpp"

#include "protocol/link/session_crypto.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/token_key.hpp"

using namespace muxsocks;
using muxsocks::tests::hex;
using muxsocks::tests::to_hex;

// The expected values come from a script of its own, with Python's hashlib and hmac.

namespace {

constexpr auto token = "correct horse battery staple";

digest digest_of(std::string_view vector) {
    const auto bytes = hex(vector);
    digest out{};
    REQUIRE(bytes.size() == out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
}

transcript example() {
    transcript t;
    t.client_hello = hex("01 02 00 00 00 03 00 04 00 00 00 00 00 00 "
                         "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f");
    t.server_hello = hex("01 02 00 00 00 03 00 04 00 00 00 00 40 00 "
                         "30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f");
    for (std::uint8_t byte = 0x80; byte < 0xa0; ++byte)
        t.exporter.push_back(byte);
    return t;
}

auth_ok_frame example_answer() {
    auth_ok_frame answer;
    for (std::size_t i = 0; i < answer.id.size(); ++i)
        answer.id[i] = static_cast<std::uint8_t>(0x50 + i);
    answer.resume_timeout_ms = 120'000;
    return answer;
}

} // namespace

TEST_CASE("the key of a token") {
    const auto crypto = session_crypto();
    SECTION("is its SHA-256") {
        CHECK(to_hex(tests::token_key(crypto, token)) ==
              to_hex(hex("c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a")));
    }
    SECTION("is 32 zero bytes without one") { CHECK(tests::token_key(crypto, "") == digest{}); }
}

TEST_CASE("the transcript") {
    const auto crypto = session_crypto();
    SECTION("is hashed with everything that both sides must agree on") {
        CHECK(to_hex(example().hash(crypto, 1, "alice")) ==
              to_hex(hex("f522c7515b5bdd1d95a734440d8b2c25466d6386b19dd18eabc014c9a03c845a")));
    }
    SECTION("may have no user and no exporter") {
        auto t = example();
        t.exporter.clear();
        CHECK(to_hex(t.hash(crypto, 0, "")) ==
              to_hex(hex("c4f83808653781fcf8fb83eae2aae57b4cf49d41a40f489ca85b2c9399201616")));
    }
    SECTION("differs with each of its parts") {
        const auto whole = example().hash(crypto, 1, "alice");
        CHECK(example().hash(crypto, 0, "alice") != whole);
        CHECK(example().hash(crypto, 1, "alicf") != whole);
        auto other = example();
        other.client_hello.back() ^= 1;
        CHECK(other.hash(crypto, 1, "alice") != whole);
        other = example();
        other.server_hello.back() ^= 1;
        CHECK(other.hash(crypto, 1, "alice") != whole);
        other = example();
        other.exporter.back() ^= 1;
        CHECK(other.hash(crypto, 1, "alice") != whole);
    }
}

TEST_CASE("what the sides prove to each other") {
    const auto crypto = session_crypto();
    const auto key = tests::token_key(crypto, token);
    const auto t = example().hash(crypto, 1, "alice");

    SECTION("the client, that it knows the token") {
        CHECK(to_hex(client_auth_mac(crypto, key, t)) ==
              to_hex(hex("ec96457134335b1346c040b2fc2fe720c7c785f64cb6953219aad77da41007c3")));
    }
    SECTION("the server, that it does") {
        CHECK(to_hex(server_auth_mac(crypto, key, t, example_answer())) ==
              to_hex(hex("80c17a11e82043f3adf5938d85c176c197e6fc40afa86b441bb34169953904e1")));
    }
    SECTION("nothing with method 0, by the same computation") {
        auto bare = example();
        bare.exporter.clear();
        CHECK(to_hex(client_auth_mac(crypto, digest{}, bare.hash(crypto, 0, ""))) ==
              to_hex(hex("dda4af6bd966616d641f2b82b64d0eadd0e097ce2fdfa5d039909b2a6ddeae15")));
    }
}

TEST_CASE("what resumption proves") {
    const auto crypto = session_crypto();
    const auto key = tests::token_key(crypto, token);
    const auto t = example().hash(crypto, 1, "alice");
    const auto secret = resume_secret(crypto, key, t, example_answer().id);
    CHECK(secret == digest_of("deaec2b973066669109919f65906a398e517c286c45d876da9734a5b9c39ada2"));

    resume_frame asked;
    asked.id = example_answer().id;
    asked.epoch = 7;
    asked.recv_frames = 1'000;
    for (std::size_t i = 0; i < asked.nonce.size(); ++i)
        asked.nonce[i] = static_cast<std::uint8_t>(0x70 + i);
    std::vector<std::uint8_t> exporter;
    for (std::uint8_t byte = 0xa0; byte < 0xc0; ++byte)
        exporter.push_back(byte);

    SECTION("that the client is the one of that session, on this link") {
        CHECK(to_hex(client_resume_proof(crypto, secret, asked, exporter)) ==
              to_hex(hex("af14905fe1e6f5d3db991acec607d1f07d5d29ae36835d71be7599436e29af0f")));
    }
    SECTION("that the server is, and where it goes on") {
        resume_ok_frame answer;
        answer.epoch = 7;
        answer.recv_frames = 2'000;
        answer.first_frame = 991;
        CHECK(to_hex(server_resume_proof(crypto, secret, asked, answer, exporter)) ==
              to_hex(hex("4f4bcfef6cc7295d0ab80f16f5858e4e9c373667c3539a925923aeada344cd4f")));
    }
}

TEST_CASE("secrets are compared") {
    const digest a{1, 2, 3};
    auto b = a;
    CHECK(equal_in_constant_time(a, b));
    b.back() ^= 0x80;
    CHECK_FALSE(equal_in_constant_time(a, b));
    CHECK_FALSE(equal_in_constant_time(a, bytes_view(a).first(31)));
    CHECK(equal_in_constant_time({}, {}));
}
