#pragma once

/// \file
/// The WAN's event loop: two TUN devices, one timer, signals and lines on standard input, on one
/// thread. SIGUSR1 prints the statistics; SIGTERM, SIGINT, the command quit and the end of standard
/// input (if it is read) end it.

#include "tests/tools/wan/command.hpp"
#include "tests/tools/wan/tun.hpp"
#include "tests/tools/wan/wan.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace muxsocks::tools {

class wan_loop {
  public:
    /// All three must outlive the loop.
    wan_loop(wan& carried, wan_commands& commands, std::array<tun_device*, 2> devices,
             bool read_standard_input);
    ~wan_loop();
    wan_loop(const wan_loop&) = delete;
    wan_loop& operator=(const wan_loop&) = delete;

    void run();

    /// The WAN's statistics and this program's own: packets that a device did not take, CPU time.
    std::string statistics() const;

  private:
    void watch(int descriptor);
    void take_packets(side where);
    void deliver();
    void arm();
    void take_signal();
    void take_lines();

    wan& wan_;
    wan_commands& commands_;
    std::array<tun_device*, 2> devices_;
    bool ended_ = false;
    int epoll_;
    int timer_;
    int signals_;
    time_point armed_for_ = time_point::max();
    std::string input_;
    std::uint64_t not_taken_ = 0;
};

} // namespace muxsocks::tools
