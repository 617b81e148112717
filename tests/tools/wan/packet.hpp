#pragma once

/// \file
/// One IP packet on its way through the WAN, and a pool of such, so that a path that holds ten
/// thousand of them allocates none while it runs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace muxsocks::tools {

/// The largest packet that the devices can be set to.
inline constexpr std::size_t packet_bytes_max = 2048;

struct packet {
    std::size_t size = 0;
    std::array<std::uint8_t, packet_bytes_max> storage;

    std::span<std::uint8_t> bytes() { return {storage.data(), size}; }
    std::span<const std::uint8_t> bytes() const { return {storage.data(), size}; }
};

using packet_ptr = std::unique_ptr<packet>;

class packet_pool {
  public:
    packet_ptr take() {
        if (free_.empty()) return packet_ptr(new packet);
        packet_ptr taken = std::move(free_.back());
        free_.pop_back();
        return taken;
    }

    void give_back(packet_ptr done) { free_.push_back(std::move(done)); }

  private:
    std::vector<packet_ptr> free_;
};

} // namespace muxsocks::tools
