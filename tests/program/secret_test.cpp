#include "protocol/program/secret.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "tests/catch.hpp"

#include <string>

using namespace muxsocks;
using muxsocks::test::contains;

TEST_CASE("a token's digest is the SHA-256 of its bytes") {
    // FIPS 180-4, the example "abc".
    CHECK(to_hex(token_digest("abc")) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("a token is accepted") {
    SECTION("with 22 characters of many kinds") {
        CHECK_FALSE(token_fault("q3Zt-8_kLmW0pXyVbN2aRs"));
    }
    SECTION("with 32 hexadecimal digits") {
        CHECK_FALSE(token_fault("0123456789abcdef0123456789ABCDEF"));
    }
    SECTION("with 39 decimal digits") {
        CHECK_FALSE(token_fault("314159265358979323846264338327950288419"));
    }
    SECTION("with everything that ASCII can show") {
        CHECK_FALSE(token_fault("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"));
    }
}

TEST_CASE("a token is refused") {
    const auto fault = [](const std::string& token) { return token_fault(token).value_or(""); };
    SECTION("with one character less") {
        CHECK_THAT(fault("q3Zt-8_kLmW0pXyVbN2aR"), contains("found 21 characters"));
        CHECK_THAT(fault("0123456789abcdef0123456789ABCDE"), contains("found 31 characters"));
        CHECK_THAT(fault("31415926535897932384626433832795028841"),
                   contains("found 38 characters"));
    }
    SECTION("with few different characters") {
        CHECK_THAT(fault(std::string(64, 'z')), contains("1 of them different"));
        CHECK_THAT(fault("zxzxzxzxzxzxzxzxzxzxzxzxzx"), contains("2 of them different"));
    }
    SECTION("with blanks, control characters or letters outside of ASCII") {
        for (const char* token : {"q3Zt-8_kLmW0pXyVbN2a Rs", "q3Zt-8_kLmW0pXyVbN2aRs\n",
                                  "q3Zt-8_kLmW0pXyVbN2aRs\xc3\xa4"}) {
            CHECK_THAT(fault(token), contains("no blanks"));
        }
    }
    SECTION("without being shown") { CHECK(fault("hunter2").find("hunter2") == std::string::npos); }
}

TEST_CASE("a reference to the environment") {
    CHECK(environment_reference("${A}") == "A");
    CHECK(environment_reference("${MUXSOCKS_TOKEN_1}") == "MUXSOCKS_TOKEN_1");
    for (const char* text : {"", "$A", "${", "${}", "${A", "A}", "${1A}", "${A B}", " ${A}"}) {
        INFO(text);
        CHECK_FALSE(environment_reference(text));
    }
}
