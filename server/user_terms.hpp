#pragma once

/// \file
/// On which terms a user may use the server: until when, from how many addresses, for what, how
/// fast and how much; keys of `users[]`. How much it may hold at once is in user_limits.hpp.

#include "server/quota.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace muxsocks {
class config_section;
} // namespace muxsocks

namespace muxsocks::server {

struct user_terms {
    /// From then on the user is refused. 1970: never.
    std::chrono::sys_seconds expires{};
    /// Addresses that its sessions may come from at once; 0: any number.
    std::uint32_t max_addresses = 0;
    /// Whether it may have UDP associations, where the server has any.
    bool udp = true;
    /// Of all its streams together.
    user_rate rate{};
    quota_settings quota{};

    [[nodiscard]] bool has_expiry() const { return expires != std::chrono::sys_seconds{}; }
    [[nodiscard]] bool expired(std::chrono::system_clock::time_point now) const {
        return has_expiry() && now >= expires;
    }
    /// For the user itself and the log.
    [[nodiscard]] std::string expiry_sentence() const;

    bool operator==(const user_terms&) const = default;
};

void bind_user_terms(config_section& section, user_terms& terms);

} // namespace muxsocks::server
