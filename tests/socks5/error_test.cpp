#include "socks5/error.hpp"

#include "tests/catch.hpp"

#include <set>
#include <string>

namespace socks5 = muxsocks::socks5;
using socks5::errc;

TEST_CASE("every SOCKS5 error has a sentence of its own") {
    std::set<std::string> sentences;
    constexpr int last = static_cast<int>(errc::name_not_resolved);
    for (int value = 1; value <= last; ++value) {
        const std::error_code error = static_cast<errc>(value);
        INFO(error.message());
        CHECK(bool(error));
        CHECK(error.message().back() == '.');
        sentences.insert(error.message());
    }
    CHECK(sentences.size() == last);
    const auto unknown = socks5::make_error_code(static_cast<errc>(last + 1)).message();
    CHECK(sentences.count(unknown) == 0);
    CHECK(unknown == socks5::make_error_code(static_cast<errc>(0)).message());
}

TEST_CASE("the errors of SOCKS5 have a category") {
    const std::error_code error = errc::socks4_request;
    CHECK(std::string{error.category().name()} == "socks5");
    CHECK(error == errc::socks4_request);
    CHECK_FALSE(error == errc::http_request);
    CHECK(error.message().find("SOCKS4") != std::string::npos);
}
