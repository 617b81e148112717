#pragma once

/// \file
/// The kinds of values that a configuration has: how each is called in the documentation, read from
/// JSON and written as JSON. Bounds belong to the kind and stand in its texts.

#include "protocol/program/network.hpp"
#include "protocol/program/settings.hpp"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muxsocks {

template <class T>
struct value_kind {
    /// For the documentation: "duration, 1s to 1h".
    std::string type;
    /// For errors, after "expected": "a duration from 1s to 1h, such as \"15s\"".
    std::string expected;
    /// Nothing if the value is not of this kind; `hint` may then receive what would help.
    std::function<std::optional<T>(const nlohmann::json& value, std::string& hint)> read;
    /// As JSON text.
    std::function<std::string(const T& value)> write;
    /// Whether errors leave out what was found, because it may be a secret in the wrong place.
    bool hidden = false;
};

namespace kinds {

[[nodiscard]] value_kind<bool> boolean();

/// Any text of `min` to `max` bytes without control characters.
[[nodiscard]] value_kind<std::string> text(std::size_t min = 0, std::size_t max = 4096,
                                           std::string type = "text");

/// A whole number, both bounds included.
[[nodiscard]] value_kind<std::uint32_t> number(std::uint32_t min, std::uint32_t max);

/// Both bounds included. `zero_is_off`: "0" too, whatever `min`.
[[nodiscard]] value_kind<std::chrono::milliseconds>
duration(std::chrono::milliseconds min, std::chrono::milliseconds max, bool zero_is_off = false);

/// In bytes, both bounds included.
[[nodiscard]] value_kind<std::uint64_t> size(std::uint64_t min, std::uint64_t max);

/// In bits a second, both bounds included.
[[nodiscard]] value_kind<std::uint64_t> bit_rate(std::uint64_t min, std::uint64_t max);

/// A moment, as RFC 3339 has it.
[[nodiscard]] value_kind<std::chrono::sys_seconds> point_in_time();

/// "host:port" of something to connect to: the host is there, the port not 0.
[[nodiscard]] value_kind<host_port> remote_address();

/// "address:port" of an IP address to connect to, `default_port` where none is given.
[[nodiscard]] value_kind<host_port> remote_ip_address(std::uint16_t default_port);

/// "127.0.0.1:1080", "[::1]:1080", ":1080", "localhost:1080" (the host stays "localhost"),
/// "unix:/PATH", "unix:@NAME", "systemd:NAME"; or an object with such an `address`, `mode` and
/// `group`, and, for `applications`, `accept`.
[[nodiscard]] value_kind<listen_address> listening_address(bool applications = false);

[[nodiscard]] value_kind<network> ip_network();

/// A port, as a number or text, or "first-last".
[[nodiscard]] value_kind<port_range> ports();

/// An IP address without a port.
[[nodiscard]] value_kind<std::string> ip_address();

/// In any form that parse_pin (tls_context.hpp) takes.
[[nodiscard]] value_kind<sha256_digest> digest();

/// The names that other programs have for levels ("warn", "err") are understood, too.
[[nodiscard]] value_kind<log_level> level_of_log();

/// The texts of a value that is one of few.
[[nodiscard]] value_kind<std::size_t> one_of(std::vector<std::string> names);

/// An enumeration; the names are those of its values, which count from 0.
template <class Enum>
requires std::is_enum_v<Enum>
[[nodiscard]] value_kind<Enum> choice(std::vector<std::string> names) {
    const value_kind<std::size_t> index = one_of(std::move(names));
    return {
        index.type, index.expected,
        [read = index.read](const nlohmann::json& value, std::string& hint) -> std::optional<Enum> {
            const std::optional<std::size_t> found = read(value, hint);
            if (!found) return std::nullopt;
            return static_cast<Enum>(*found);
        },
        [write = index.write](const Enum& value) {
            return write(static_cast<std::size_t>(value));
        }};
}

} // namespace kinds

} // namespace muxsocks
