#pragma once

/// \file
/// The PROXY protocol, version 2, as a load balancer sends it in front of a connection: whose
/// connection it really is. Source: "The PROXY protocol", HAProxy, section 2.2.

#include "protocol/byte_order.hpp"

#include <boost/asio/ip/address.hpp>

#include <optional>

namespace muxsocks::server {

struct proxy_header {
    enum class status { need_more, done, failed };
    status result = status::need_more;
    std::size_t size = 16; ///< Bytes of the header; those of its fixed part, until that has come.
    /// Whether the load balancer speaks for itself (LOCAL), which is a health check.
    bool local = false;
    /// The client's address; none for LOCAL connections and unknown families.
    std::optional<boost::asio::ip::address> client;
};

/// Parses the begin of a connection. Bytes behind `size` belong to the connection.
proxy_header parse_proxy_header(bytes_view bytes);

/// The header of a connection that the load balancer makes for itself (LOCAL).
bytes_view local_proxy_header();

} // namespace muxsocks::server
