#pragma once

/// \file
/// The texts of single values in a configuration and on the command line: durations, sizes,
/// addresses. Pure functions; what may stand where is config_reader's business.

#include "protocol/program/settings.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// "250ms", "15s", "2m", "1h", "7d" or "0": a whole number and a unit, nothing else. Nothing also
/// for what does not fit std::chrono::milliseconds.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

/// In the largest unit that gives a whole number: "2m", "90s", "0".
[[nodiscard]] std::string format_duration(std::chrono::milliseconds value);

/// "8MiB", "64KiB", "1GiB", "1TiB", or bytes as a bare number.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// In the largest unit that gives a whole number: "64MiB", "1000".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// "20Mbit", "500kbit", "1Gbit", or bits a second as a bare number.
[[nodiscard]] std::optional<std::uint64_t> parse_bit_rate(std::string_view text);

/// In the largest unit that gives a whole number: "20Mbit".
[[nodiscard]] std::string format_bit_rate(std::uint64_t bits_per_second);

/// "2027-01-31T00:00:00Z", or with another offset from UTC: "2027-01-31T01:00:00+01:00" (RFC 3339,
/// whole seconds).
[[nodiscard]] std::optional<std::chrono::sys_seconds> parse_time(std::string_view text);

/// In UTC: "2027-01-31T00:00:00Z".
[[nodiscard]] std::string format_time(std::chrono::sys_seconds time);

/// "example.org:443", "192.0.2.1:443", "[2001:db8::1]:443", "[fe80::1%eth0]:443", ":1080". Without
/// a port only if `default_port` is given; an IPv6 address may then stand without brackets. Nothing
/// if the text is none of that, or the host neither an IP address nor a host name in ASCII.
[[nodiscard]] std::optional<host_port>
parse_host_port(std::string_view text, std::optional<std::uint16_t> default_port = std::nullopt);

/// Whether `host` is an IPv4 or IPv6 address in text form (a zone is allowed).
[[nodiscard]] bool is_ip_address(const std::string& host);

/// Whether `host` can only be reached from this machine: 127.0.0.0/8, ::1, "localhost". The empty
/// host (all addresses) is not.
[[nodiscard]] bool is_loopback(const std::string& host);

/// The candidate that `word` was probably meant to be: few letters changed, lost, added or swapped;
/// upper case and '-' for '_' cost nothing. Nothing if none is near.
[[nodiscard]] std::optional<std::string> nearest_word(std::string_view word,
                                                      const std::vector<std::string>& candidates);

} // namespace muxsocks
