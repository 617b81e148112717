#include "socks5/reply_code.hpp"

#include "socks5/error.hpp"
#include "tests/catch.hpp"

#include <cerrno>
#include <set>
#include <string>
#include <utility>

namespace socks5 = muxsocks::socks5;
using socks5::errc;
using socks5::reply_code;
using socks5::reply_code_from;

namespace {

/// Stands for a resolver's category, which maps its values to generic ones.
class resolver_category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "resolver"; }
    std::string message(int) const override { return "not found"; }
    std::error_condition default_error_condition(int value) const noexcept override {
        return value == 1 ? std::make_error_condition(std::errc::host_unreachable)
                          : std::error_condition{value, *this};
    }
};

} // namespace

TEST_CASE("REP of an error") {
    const std::pair<int, int> table[]{
        {0, 0x00},
        {EACCES, 0x02},
        {EPERM, 0x02},
        {ENETUNREACH, 0x03},
        {ENETDOWN, 0x03},
        {EHOSTUNREACH, 0x04},
        {EHOSTDOWN, 0x04},
        {ETIMEDOUT, 0x04},
        {ECONNREFUSED, 0x05},
        {EAFNOSUPPORT, 0x08},
        {EMFILE, 0x01},
        {ENFILE, 0x01},
        {ENOBUFS, 0x01},
        {EADDRNOTAVAIL, 0x01},
        {ECANCELED, 0x01},
        {ECONNRESET, 0x01},
        {-1, 0x01},
        {12345, 0x01},
    };
    for (const auto& [error, rep] : table) {
        INFO("errno " << error);
        const auto expected = static_cast<reply_code>(rep);
        CHECK(socks5::reply_code_from_errno(error) == expected);
        CHECK(reply_code_from(std::error_code{error, std::system_category()}) == expected);
        CHECK(reply_code_from(std::error_code{error, std::generic_category()}) == expected);
    }
    SECTION("by its portable name") {
        CHECK(reply_code_from(make_error_code(std::errc::connection_refused)) ==
              reply_code::connection_refused);
        CHECK(reply_code_from(make_error_code(std::errc::permission_denied)) ==
              reply_code::not_allowed);
    }
    SECTION("of this library") {
        CHECK(reply_code_from(errc::name_not_resolved) == reply_code::host_unreachable);
        CHECK(reply_code_from(errc::command_not_supported) == reply_code::command_not_supported);
        CHECK(reply_code_from(errc::address_type_not_supported) ==
              reply_code::address_type_not_supported);
        CHECK(reply_code_from(errc::empty_domain) == reply_code::general_failure);
        CHECK(reply_code_from(errc::request_version) == reply_code::general_failure);
    }
    SECTION("of another category, through its condition") {
        const resolver_category category;
        CHECK(reply_code_from(std::error_code{1, category}) == reply_code::host_unreachable);
        CHECK(reply_code_from(std::error_code{2, category}) == reply_code::general_failure);
    }
}

TEST_CASE("a REP as an error") {
    SECTION("succeeded is none") {
        const std::error_code none = reply_code::succeeded;
        CHECK_FALSE(none);
        CHECK(reply_code_from(none) == reply_code::succeeded);
    }
    SECTION("every value comes back as itself") {
        for (int rep = 1; rep < 256; ++rep) {
            const std::error_code error = static_cast<reply_code>(rep);
            CHECK(bool(error));
            CHECK(reply_code_from(error) == static_cast<reply_code>(rep));
        }
    }
    SECTION("every value has a sentence of its own") {
        std::set<std::string> sentences;
        for (int rep = 0; rep < 256; ++rep) {
            const auto sentence = socks5::reply_category().message(rep);
            INFO(sentence);
            CHECK((sentence.size() > 10 && sentence.back() == '.'));
            sentences.insert(sentence);
        }
        CHECK(sentences.size() == 256);
    }
}

TEST_CASE("the RFC's words for a REP") {
    CHECK(to_text(reply_code::succeeded) == "succeeded");
    CHECK(to_text(reply_code::general_failure) == "general SOCKS server failure");
    CHECK(to_text(reply_code::not_allowed) == "connection not allowed by ruleset");
    CHECK(to_text(reply_code::network_unreachable) == "Network unreachable");
    CHECK(to_text(reply_code::host_unreachable) == "Host unreachable");
    CHECK(to_text(reply_code::connection_refused) == "Connection refused");
    CHECK(to_text(reply_code::ttl_expired) == "TTL expired");
    CHECK(to_text(reply_code::command_not_supported) == "Command not supported");
    CHECK(to_text(reply_code::address_type_not_supported) == "Address type not supported");
    CHECK(to_text(static_cast<reply_code>(0x09)) == "unassigned");
    CHECK(to_text(static_cast<reply_code>(0xff)) == "unassigned");
}
