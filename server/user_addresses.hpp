#pragma once

/// \file
/// From which addresses a user's sessions come, and whether that is more than it may have
/// (`users[].max_addresses`). A session counts at one address, that of its newest link, and not at
/// all while it has none. Any thread may call anything here; that is when a link begins or ends.

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

namespace muxsocks::server {

class user_addresses {
  public:
    using address = boost::asio::ip::address;

    /// What counts as one: of IPv6 a subscriber has a /64.
    static address one_of(const address& from) {
        if (!from.is_v6()) return from;
        auto bytes = from.to_v6().to_bytes();
        std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
        return boost::asio::ip::address_v6(bytes);
    }

    /// Whether a session that is at `now`, if anywhere, may be at `next` instead. `most`: 0 is any
    /// number.
    [[nodiscard]] bool may_move(const std::optional<address>& now, const address& next,
                                std::size_t most) const {
        const std::lock_guard lock(mutex_);
        if (most == 0 || counts_.contains(next)) return true;
        return counts_.size() - (now && alone_at(*now) ? 1 : 0) < most;
    }
    /// The session moves, to nowhere if it loses its last link.
    void move(std::optional<address>& now, std::optional<address> next) {
        const std::lock_guard lock(mutex_);
        if (next) ++counts_[*next];
        if (now && --counts_[*now] == 0) counts_.erase(*now);
        now = std::move(next);
    }
    [[nodiscard]] std::size_t count() const {
        const std::lock_guard lock(mutex_);
        return counts_.size();
    }

  private:
    bool alone_at(const address& one) const {
        const auto found = counts_.find(one);
        return found != counts_.end() && found->second == 1;
    }

    mutable std::mutex mutex_;
    std::map<address, std::size_t> counts_; ///< Sessions at each.
};

} // namespace muxsocks::server
