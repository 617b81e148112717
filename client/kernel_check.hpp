#pragma once

/// \file
/// What this machine's kernel lacks for links over long lines: BBR, and room for as many bytes
/// under way. Facts in, sentences out; the files of /proc are read by whoever asks.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace muxsocks::client {

/// As /proc/sys/net/ipv4 has them.
struct kernel_facts {
    std::string congestion_controls; ///< tcp_available_congestion_control: "reno cubic bbr".
    std::string wmem;                ///< tcp_wmem: "4096 16384 4194304".
    std::string rmem;                ///< tcp_rmem.
    bool in_container = false;
};

struct kernel_lack {
    std::string what;
    std::string cure;
};

/// What a path with that round trip asks for and the kernel has not; nothing where a fact could not
/// be read. `congestion`: link.congestion.
std::vector<kernel_lack> kernel_lacks(const kernel_facts& facts, const std::string& congestion,
                                      std::chrono::nanoseconds round_trip);

/// Of this machine and network namespace.
kernel_facts read_kernel_facts();

} // namespace muxsocks::client
