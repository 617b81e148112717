#pragma once

/// \file
/// Two paths, one each way, and what happens at their ends: translated addresses and messages about
/// packets that are too big. No I/O: packets come in at a side and go out at a side, the time is an
/// argument. "up" leads from the near side to the far one.

#include "tests/tools/wan/ip.hpp"
#include "tests/tools/wan/path.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::tools {

enum class side : std::size_t { near = 0, far = 1 };

inline constexpr std::array<side, 2> both_sides{side::near, side::far};

constexpr std::size_t index(side where) { return static_cast<std::size_t>(where); }
constexpr side opposite(side where) { return where == side::near ? side::far : side::near; }

/// The other side knows the host of this side, `real`, as `seen`. What is sent to `real` from
/// there finds nobody, as after a NAT has forgotten its mappings.
struct translation {
    side where = side::near;
    ip_address real;
    ip_address seen;
};

class wan {
  public:
    explicit wan(std::uint64_t seed)
        : paths_{path(pool_, seed), path(pool_, seed ^ 0x9e3779b97f4a7c15U)} {}
    wan(const wan&) = delete;
    wan& operator=(const wan&) = delete;

    packet_pool& pool() { return pool_; }
    /// The path that begins at that side.
    path& from(side where) { return paths_[index(where)]; }
    const path& from(side where) const { return paths_[index(where)]; }

    std::vector<translation> translations;

    /// A packet has come out of the device of a side.
    void on_packet(side where, packet_ptr arrived, time_point now);

    /// The next packet for the device of a side, or null. Goes back to pool() once written.
    packet_ptr next_for(side where, time_point now);

    std::optional<time_point> next_time() const;

    /// One line of JSON: path_counts of both ways, what is inside, and what found nobody.
    std::string statistics() const;

  private:
    void tell_too_big(side where, const packet& refused, time_point now);
    bool translate_towards(side where, packet& going);

    packet_pool pool_;
    std::array<path, 2> paths_;
    std::array<std::vector<packet_ptr>, 2> answers_; // for each side, at once
    std::uint64_t found_nobody_ = 0;
};

} // namespace muxsocks::tools
