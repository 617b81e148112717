#pragma once

/// \file
/// A TUN device in a network namespace: what the kernel routes into it is read here as IP packets,
/// and what is written here arrives there. It has no offloads, so a packet is what a wire would
/// carry. The device goes when this object, or the process, does.

#include "tests/tools/wan/packet.hpp"

#include <stdexcept>
#include <string>

namespace muxsocks::tools {

/// TUN devices or namespaces are not to be had here: a reason to skip, not a failure.
class not_permitted : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class tun_device {
  public:
    /// `network` is a namespace's file, such as /proc/PID/ns/net.
    tun_device(const std::string& network, const std::string& name);
    ~tun_device();
    tun_device(const tun_device&) = delete;
    tun_device& operator=(const tun_device&) = delete;

    int descriptor() const { return descriptor_; }

    /// Fills the packet; false if none waits. Throws when the device has gone with its namespace.
    bool read(packet& into);

    /// False if the kernel did not take it, as while the device is down.
    bool write(const packet& from);

  private:
    int descriptor_;
};

} // namespace muxsocks::tools
