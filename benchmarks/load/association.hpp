#pragma once

/// \file
/// A UDP socket whose datagrams reach the target: by SOCKS5's UDP ASSOCIATE (RFC 1928, section 7),
/// or directly. Opens blocking, since what opens one measures nothing else meanwhile.

#include "benchmarks/load/stream.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace muxsocks::load {

class association {
  public:
    /// Throws std::runtime_error with a sentence.
    explicit association(const route& way);

    int socket() const { return socket_.get(); }
    /// What stands in front of each datagram that is sent; empty without a proxy.
    std::span<const std::uint8_t> header() const { return header_; }
    /// The payload of what was received; empty if it has no right header.
    std::span<const std::uint8_t> payload(std::span<const std::uint8_t> received) const;

  private:
    /// The address that datagrams are to be sent to.
    endpoint associate(const endpoint& proxy);

    file_descriptor control_;
    file_descriptor socket_;
    std::vector<std::uint8_t> header_;
};

} // namespace muxsocks::load
