#include "http/capsules.hpp"

#include "tests/catch.hpp"
#include "tests/http/moved.hpp"

#include <vector>

namespace muxsocks::http {
namespace {

/// The datagrams in `bytes`, fed in pieces of so many bytes.
std::vector<std::string> datagrams_in(const std::string& bytes, std::size_t piece,
                                      bool* failed = nullptr) {
    capsule_reader reader;
    std::vector<std::string> found;
    for (std::size_t at = 0; at < bytes.size() && !reader.failed(); at += piece) {
        std::string_view rest = std::string_view(bytes).substr(at, piece);
        while (!rest.empty() && !reader.failed()) {
            const auto made = reader.next(rest);
            rest.remove_prefix(made.used);
            if (made.datagram) found.emplace_back(*made.datagram);
        }
    }
    if (failed) *failed = reader.failed();
    return found;
}

std::string capsule(const std::string& datagram) {
    return capsule_front(datagram.size()) + datagram;
}

} // namespace

TEST_CASE("the path of a UDP tunnel") {
    const auto at = parse_udp_path("/.well-known/masque/udp/192.0.2.6/443/");
    REQUIRE(at.has_value());
    CHECK(at->host == "192.0.2.6");
    CHECK(at->port == 443);
    CHECK(parse_udp_path("/.well-known/masque/udp/2001%3Adb8%3a%3A42/1/")->host == "2001:db8::42");
    CHECK(parse_udp_path("/.well-known/masque/udp/example.org/53")->port == 53);
    CHECK_FALSE(parse_udp_path("/proxy.pac").has_value());
    CHECK_FALSE(parse_udp_path("/.well-known/masque/tcp/a/1/").has_value());
    for (const auto* path : {"/.well-known/masque/udp/", "/.well-known/masque/udp/a/",
                             "/.well-known/masque/udp/a/0/", "/.well-known/masque/udp/a/65536/",
                             "/.well-known/masque/udp/a/1/2", "/.well-known/masque/udp/a%4/1/"}) {
        INFO(path);
        REQUIRE(parse_udp_path(path).has_value());
        CHECK(parse_udp_path(path)->host.empty());
    }
}

TEST_CASE("datagrams in capsules") {
    SECTION("are as they were, of all lengths and in whatever pieces") {
        std::string bytes;
        std::vector<std::string> sent;
        for (const std::size_t size : {0U, 1U, 62U, 63U, 64U, 1200U, 16'382U, 16'383U, 65'507U}) {
            sent.emplace_back(size, static_cast<char>('a' + size % 26));
            bytes += capsule(sent.back());
        }
        for (const std::size_t piece :
             {std::size_t{1}, std::size_t{7}, std::size_t{4096}, bytes.size()})
            CHECK(datagrams_in(bytes, piece) == sent);
    }
    SECTION("come in RFC 9297's form") {
        CHECK(capsule("ab") == std::string("\x00\x03\x00", 3) + "ab");
        CHECK(capsule_front(100) == std::string("\x00\x40\x65\x00", 4));
        CHECK(capsule_front(20'000) == std::string("\x00\x80\x00\x4e\x21\x00", 6));
        // A length may take more bytes than it needs.
        CHECK(datagrams_in(std::string("\x40\x00\x80\x00\x00\x02\x00", 7) + "x", 1) ==
              std::vector<std::string>{"x"});
    }
    SECTION("are found behind capsules and contexts that nobody knows") {
        const auto bytes = std::string("\x3f\x02zz", 4) + std::string("\x00\x03\x02yy", 5) +
                           std::string("\x05\x00", 2) + capsule("x");
        CHECK(datagrams_in(bytes, 1) == std::vector<std::string>{"x"});
        CHECK(datagrams_in(bytes, bytes.size()) == std::vector<std::string>{"x"});
    }
    SECTION("that no UDP could carry end it") {
        for (const std::size_t size : {65'528U, 65'535U, 70'000U})
            for (const std::size_t piece : {1U, 1000U, 100'000U}) {
                bool failed = false;
                const auto bytes = capsule("a") + capsule(std::string(size, 'l')) + capsule("x");
                CHECK(datagrams_in(bytes, piece, &failed) == std::vector<std::string>{"a"});
                CHECK(failed);
            }
    }
    SECTION("of other contexts may be of any length") {
        for (const std::size_t piece : {1U, 1000U, 100'000U}) {
            bool failed = true;
            // A capsule of 70,000 bytes, and context 2 in one byte and in eight.
            const auto head = std::string("\x00\x80\x01\x11\x70", 5);
            const auto bytes = head + "\x02" + std::string(69'999, 'l') + head +
                               std::string("\xc0\0\0\0\0\0\0\x02", 8) + std::string(69'992, 'l') +
                               capsule(std::string(65'527, 'u'));
            CHECK(datagrams_in(bytes, piece, &failed) ==
                  std::vector<std::string>{std::string(65'527, 'u')});
            CHECK_FALSE(failed);
        }
    }
    SECTION("go on in another process, wherever they were cut") {
        const auto bytes = capsule("first") + std::string("\x3f\x02zz", 4) +
                           capsule(std::string(100, 'l')) + capsule("");
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
            capsule_reader reader;
            std::vector<std::string> found;
            for (std::string_view rest = bytes; !rest.empty();) {
                const auto at = bytes.size() - rest.size();
                if (at == cut) reader = moved(reader);
                const auto made = reader.next(at < cut ? rest.substr(0, cut - at) : rest);
                rest.remove_prefix(made.used);
                if (made.datagram) found.emplace_back(*made.datagram);
            }
            CHECK(found == std::vector<std::string>{"first", std::string(100, 'l'), ""});
        }
        auto failed = capsule_reader();
        failed.next(std::string_view("\x00\x00", 2));
        CHECK(moved(failed).failed());
    }
    SECTION("without a context are none") {
        bool failed = false;
        CHECK(datagrams_in(std::string("\x00\x00", 2) + capsule("x"), 1, &failed).empty());
        CHECK(failed);
    }
}

} // namespace muxsocks::http
