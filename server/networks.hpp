#pragma once

/// \file
/// Networks of the configuration against Asio's addresses.

#include "protocol/program/network.hpp"

#include <boost/asio/ip/address.hpp>

namespace muxsocks::server {

inline bool in_networks(const std::vector<network>& networks,
                        const boost::asio::ip::address& address) {
    return address.is_v4() ? contains(networks, address.to_v4().to_bytes())
                           : contains(networks, address.to_v6().to_bytes());
}

} // namespace muxsocks::server
