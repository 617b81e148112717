#pragma once

/// \file
/// Who may use an application's UDP association: the host that its control connection comes from,
/// and there the port that the first valid datagram came from. A port that has been silent for a
/// while gives way to another one of the same host, as after a NAT's change of mind. Pure.

#include <boost/asio/ip/udp.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace muxsocks::client {

class udp_gate {
  public:
    using endpoint = boost::asio::ip::udp::endpoint;
    using time_point = std::chrono::steady_clock::time_point;

    /// Without a datagram for so long, another port of the host takes over.
    static constexpr std::chrono::seconds silence_max{30};

    /// `host`: of the control connection. `hint`: the address that the request named; it counts if
    /// it is the host's with a port, and until a datagram has come from elsewhere.
    udp_gate(const boost::asio::ip::address& host, const std::optional<endpoint>& hint)
        : host_(host) {
        if (hint && hint->address() == host && hint->port() != 0) peer_ = *hint;
    }

    /// Whether a datagram from there, a valid one, is taken.
    bool admit(const endpoint& from, time_point now) {
        if (from.address() != host_) return false;
        if (locked_ && from != *peer_ && now - heard_ < silence_max) return false;
        locked_ = true;
        peer_ = from;
        heard_ = now;
        return true;
    }
    /// For another process, by protocol/saved_fields.hpp.
    template <class Fields>
    void each_field(Fields& fields, time_point now) {
        std::string host = peer_ ? peer_->address().to_string() : std::string();
        std::uint16_t port = peer_ ? peer_->port() : 0;
        auto silent_ms = static_cast<std::uint32_t>((now - heard_) / std::chrono::milliseconds(1));
        fields(host, port, locked_, silent_ms);
        boost::system::error_code error;
        const auto address = boost::asio::ip::make_address(host, error);
        peer_.reset();
        if (!error) peer_ = endpoint(address, port);
        locked_ = locked_ && peer_;
        heard_ = now - std::chrono::milliseconds(silent_ms);
    }
    /// Where replies go; nobody before the first datagram, or a hint.
    const std::optional<endpoint>& peer() const { return peer_; }

  private:
    boost::asio::ip::address host_;
    std::optional<endpoint> peer_;
    bool locked_ = false;
    time_point heard_{};
};

} // namespace muxsocks::client
