#pragma once

/// \file
/// What the relay does to the connections that it carries, and what it has counted: plain data,
/// changed by commands (command.hpp), read by every connection at each step.

#include "protocol/link/loop/asio.hpp"
#include "tests/tools/quantity.hpp"
#include "tests/tools/relay/delay_line.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace muxsocks::tools {

/// Up is from the client to the server.
enum class direction : std::size_t { up = 0, down = 1 };

inline constexpr std::array<direction, 2> both_directions{direction::up, direction::down};

constexpr direction opposite(direction way) {
    return way == direction::up ? direction::down : direction::up;
}

constexpr std::size_t index(direction way) { return static_cast<std::size_t>(way); }

constexpr std::string_view name(direction way) { return way == direction::up ? "up" : "down"; }

/// How a connection is cut: a FIN after what was delivered, or a RST.
enum class cut_style { rst, fin };

/// Who sees a cut. With one side only the other is left on a half-open connection.
enum class cut_side { both, client, server };

struct direction_settings {
    wire_settings wire;
    /// Whether nothing is read or delivered; what is inside stays there.
    bool stalled = false;
    /// Whether new connections lose everything in this direction, without an end to be seen.
    bool swallow_new = false;
    /// Where new connections are cut, counted in bytes delivered.
    std::optional<range<std::uint64_t>> cut_after;
    cut_style cut_after_style = cut_style::rst;
};

struct settings {
    std::array<direction_settings, 2> directions;
    /// Bytes a write at most; drawn anew for each write.
    std::optional<range<std::uint64_t>> chunk;
    asio::ip::tcp::endpoint target;
    /// Addresses that outgoing connections are bound to, one after the other; random over
    /// 127.0.0.0/8 if `random_source`.
    std::vector<asio::ip::address> sources;
    bool random_source = false;
    /// SO_RCVBUF and SO_SNDBUF of all sockets, 0: the kernel's choice.
    int socket_buffer_bytes = 0;

    direction_settings& operator[](direction way) { return directions[index(way)]; }
    const direction_settings& operator[](direction way) const { return directions[index(way)]; }
};

struct statistics {
    std::uint64_t accepted = 0;
    std::uint64_t live = 0;
    std::uint64_t cuts = 0;
    std::uint64_t target_failures = 0;
    std::uint64_t resets_passed_on = 0;
    std::array<std::uint64_t, 2> delivered_bytes{};
    std::array<std::uint64_t, 2> swallowed_bytes{};
};

/// What connections share. The io_context is last, hence destroyed first, and with it the handlers
/// that keep connections.
struct context {
    settings config;
    statistics counts;
    block_pool pool;
    random_engine random;
    asio::io_context io{1};
};

} // namespace muxsocks::tools
