#pragma once

/// \file
/// The rules that every parser of socks5/ keeps, whatever the message: fed with each beginning of
/// it, with bytes behind it, and with anything at all.

#include "socks5/error.hpp"
#include "socks5/parse_result.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace muxsocks::tests {

/// Requires that `parse` finds in `bytes` one whole message, no sooner than with its last byte, and
/// the same one when others follow. Returns it.
template <typename Parser>
auto require_parsed(Parser parse, std::span<const std::uint8_t> bytes) {
    using socks5::parse_status;
    INFO("message: " << to_hex(bytes));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO("first " << size << " bytes");
        const auto result = parse(bytes.first(size));
        REQUIRE(result.status == parse_status::need_more);
        REQUIRE(result.used == 0);
        REQUIRE_FALSE(result.error);
    }
    std::vector<std::uint8_t> longer{bytes.begin(), bytes.end()};
    longer.insert(longer.end(), {0x00, 0xff, 0x05, 0x16});
    const auto followed = parse(longer);
    REQUIRE(followed.status == parse_status::done);
    REQUIRE(followed.used == bytes.size());
    const auto result = parse(bytes);
    REQUIRE(result.status == parse_status::done);
    REQUIRE(result.used == bytes.size());
    REQUIRE_FALSE(result.error);
    return result.value;
}

/// Requires that `parse` refuses `bytes` with `error` at their last byte and not before, and
/// whatever follows. Returns what it had read until then.
template <typename Parser>
auto require_refused(Parser parse, std::span<const std::uint8_t> bytes, std::error_code error) {
    using socks5::parse_status;
    INFO("message: " << to_hex(bytes));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO("first " << size << " bytes");
        REQUIRE(parse(bytes.first(size)).status == parse_status::need_more);
    }
    std::vector<std::uint8_t> longer{bytes.begin(), bytes.end()};
    longer.insert(longer.end(), 600, 0x41);
    REQUIRE(parse(longer).status == parse_status::failed);
    REQUIRE(parse(longer).error == error);
    const auto result = parse(bytes);
    REQUIRE(result.status == parse_status::failed);
    REQUIRE(result.error == error);
    REQUIRE(result.used == 0);
    return result.value;
}

/// Requires of random bytes that the verdict, once given, stays: on a beginning and on all that is
/// longer.
template <typename Parser>
void require_stable_verdicts(Parser parse, std::uint8_t version, unsigned seed) {
    using socks5::parse_status;
    std::mt19937 random{seed};
    for (int round = 0; round < 2'000; ++round) {
        std::vector<std::uint8_t> bytes(random() % 40);
        for (auto& byte : bytes)
            // Mostly small values: lengths that fit, known types, control characters.
            byte = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : random() % 8);
        if (!bytes.empty() && random() % 4 != 0) bytes[0] = version;
        INFO("seed " << seed << ", round " << round << ": " << to_hex(bytes));
        const auto whole = parse(bytes);
        bool decided = false;
        for (std::size_t size = 0; size <= bytes.size(); ++size) {
            const auto result = parse(std::span{bytes}.first(size));
            if (result.status == parse_status::need_more) {
                REQUIRE_FALSE(decided);
                continue;
            }
            decided = true;
            REQUIRE(result.status == whole.status);
            REQUIRE(result.used == whole.used);
            // "C" may be HTTP; "C\x03" is not.
            if (result.error != socks5::errc::http_request) REQUIRE(result.error == whole.error);
            REQUIRE(result.used <= size);
        }
        REQUIRE(decided == (whole.status != parse_status::need_more));
    }
}

} // namespace muxsocks::tests
