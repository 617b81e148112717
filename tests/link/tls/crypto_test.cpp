#include "protocol/link/tls/crypto.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <string>
#include <thread>

using namespace muxsocks;

namespace {

using bytes = std::vector<std::uint8_t>;

bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string mac_text(const bytes& key, const bytes& message) {
    const std::span<const std::uint8_t> part(message);
    return to_hex(hmac_sha256(key, std::span(&part, 1)));
}

} // namespace

TEST_CASE("SHA-256") {
    SECTION("has the values of FIPS 180-4's examples") {
        CHECK(to_hex(sha256(bytes_of("abc"))) ==
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        CHECK(
            to_hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        CHECK(to_hex(sha256(std::span<const std::uint8_t>())) ==
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
    SECTION("of parts is that of their sum") {
        const bytes a = bytes_of("a"), none, bc = bytes_of("bc");
        const std::span<const std::uint8_t> parts[] = {a, none, bc};
        CHECK(sha256(parts) == sha256(bytes_of("abc")));
    }
}

TEST_CASE("HMAC-SHA256") {
    SECTION("has the values of RFC 4231") {
        CHECK(mac_text(bytes(20, 0x0b), bytes_of("Hi There")) ==
              "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        CHECK(mac_text(bytes_of("Jefe"), bytes_of("what do ya want for nothing?")) ==
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        CHECK(mac_text(bytes(20, 0xaa), bytes(50, 0xdd)) ==
              "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
        CHECK(mac_text(bytes(131, 0xaa),
                       bytes_of("Test Using Larger Than Block-Size Key - Hash Key First")) ==
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
    SECTION("with an empty key does not keep the one before") {
        CHECK(mac_text(bytes(20, 0x0b), bytes_of("x")) != mac_text({}, bytes_of("x")));
        CHECK(mac_text({}, {}) ==
              "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    }
    SECTION("of parts is that of their sum") {
        const bytes key = bytes_of("Jefe"), a = bytes_of("what do ya "), none,
                    b = bytes_of("want for nothing?");
        const std::span<const std::uint8_t> parts[] = {a, none, b};
        CHECK(to_hex(hmac_sha256(key, parts)) ==
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
    SECTION("is the same on every thread") {
        std::vector<std::string> results(4);
        std::vector<std::thread> threads;
        for (std::string& result : results)
            threads.emplace_back([&result] {
                for (int i = 0; i < 200; ++i)
                    result = mac_text(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"));
            });
        for (auto& thread : threads)
            thread.join();
        CHECK(std::count(results.begin(), results.end(),
                         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843") == 4);
    }
}

TEST_CASE("random bytes") {
    SECTION("differ") {
        std::array<std::uint8_t, 16> a{}, b{};
        random_bytes(a);
        random_bytes(b);
        CHECK(a != b);
    }
    SECTION("may be none") { CHECK_NOTHROW(random_bytes({})); }
}

TEST_CASE("hex") {
    CHECK(to_hex(bytes{0x00, 0x1f, 0xff}) == "001fff");
    CHECK(to_hex({}).empty());
    CHECK(from_hex("001FfF") == bytes{0x00, 0x1f, 0xff});
    CHECK(from_hex("") == bytes{});
    CHECK_FALSE(from_hex("0"));
    CHECK_FALSE(from_hex("0g"));
    CHECK_FALSE(from_hex("00 1"));
    CHECK_FALSE(from_hex("0\xff"));
}

TEST_CASE("base64") {
    // RFC 4648 section 10.
    const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                           {"f", "Zg=="},
                                                           {"fo", "Zm8="},
                                                           {"foo", "Zm9v"},
                                                           {"foob", "Zm9vYg=="},
                                                           {"fooba", "Zm9vYmE="},
                                                           {"foobar", "Zm9vYmFy"}};
    for (const auto& [text, encoded] : vectors) {
        CAPTURE(text);
        CHECK(to_base64(bytes_of(text)) == encoded);
        CHECK(from_base64(encoded) == bytes_of(text));
    }
    SECTION("is read without padding, and in the alphabet for addresses") {
        CHECK(from_base64("Zg") == bytes_of("f"));
        CHECK(from_base64("Zm8") == bytes_of("fo"));
        CHECK(from_base64("-_-_") == from_base64("+/+/"));
        CHECK(from_base64("+/+/") == bytes{0xfb, 0xff, 0xbf});
    }
    SECTION("is not read when it is none") {
        for (const char* text : {"Z", "Zg=", "Zg===", "=", "====", "Zm9v\n", " Zm9v", "Zm 9",
                                 "Zm9v!", "Zh==", "Zm9=", "Z=g=", "Zm9vZ"}) {
            CAPTURE(text);
            CHECK_FALSE(from_base64(text));
        }
    }
    SECTION("comes back as it was for all lengths and bytes") {
        for (std::size_t size = 0; size < 300; ++size) {
            bytes data(size);
            for (std::size_t i = 0; i < size; ++i)
                data[i] = static_cast<std::uint8_t>(i * 7 + size);
            REQUIRE(from_base64(to_base64(data)) == data);
            REQUIRE(from_hex(to_hex(data)) == data);
        }
    }
}
