#pragma once

/// \file
/// Links that have not authenticated yet: how many there may be, in all and from one address, and
/// how long an address that fails waits for its answer. Shared by all threads, off the data path.

#include "server/config.hpp"

#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>

namespace muxsocks::server {

/// Whom an address counts for: one host has a whole /64 of IPv6.
boost::asio::ip::address host_of(const boost::asio::ip::address& address);

class admission : public std::enable_shared_from_this<admission> {
  public:
    explicit admission(limit_settings limits) : limits_(std::move(limits)) {}

    /// One link's place; it is free again when the ticket goes.
    class ticket {
      public:
        ticket() = default;
        ticket(std::shared_ptr<admission> from, boost::asio::ip::address address, bool counted)
            : from_(std::move(from)), address_(std::move(address)), counted_(counted) {}
        ticket(ticket&& other) noexcept = default;
        ticket& operator=(ticket&& other) noexcept {
            std::swap(from_, other.from_);
            std::swap(address_, other.address_);
            std::swap(counted_, other.counted_);
            return *this;
        }
        ~ticket() {
            if (from_) from_->leave(address_, counted_);
        }
        explicit operator bool() const { return from_ != nullptr; }
        const boost::asio::ip::address& address() const { return address_; }

      private:
        std::shared_ptr<admission> from_;
        boost::asio::ip::address address_;
        bool counted_ = false; ///< Whether the address is counted, too.
    };

    /// A place for a link from the address, or none.
    ticket enter(const boost::asio::ip::address& address);

    /// How long the answer to this failure waits: 0.25 s, doubling to 4 s for failures of one
    /// address within the last minutes; a client waits 5 s for it. Never refuses anyone.
    std::chrono::milliseconds on_failure(const boost::asio::ip::address& address);
    void on_success(const boost::asio::ip::address& address);

    void set_limits(limit_settings limits);
    bool exempt(const boost::asio::ip::address& address) const;

  private:
    struct failures {
        unsigned count = 0;
        std::chrono::steady_clock::time_point last;
    };

    void leave(const boost::asio::ip::address& address, bool counted);
    bool exempt_locked(const boost::asio::ip::address& address) const;

    mutable std::mutex mutex_;
    limit_settings limits_;
    std::size_t links_ = 0;
    std::map<boost::asio::ip::address, std::size_t> by_address_;
    std::map<boost::asio::ip::address, failures> failed_;
};

} // namespace muxsocks::server
