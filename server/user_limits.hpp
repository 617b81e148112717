#pragma once

/// \file
/// What one user may hold at once, over all of its sessions in all threads: `limits.user`, and the
/// same keys in `users[].limits`. Zero says that a value is not given there, and another binds.

#include <cstdint>

namespace muxsocks {
class config_section;
} // namespace muxsocks

namespace muxsocks::server {

struct user_limit_settings {
    std::uint32_t sessions = 8;
    std::uint32_t links = 0; ///< Not given: what the sessions can have, and those that replace.
    std::uint32_t streams = 4'096;
    std::uint32_t dials = 512;
    std::uint32_t lookups = 128;
    std::uint32_t files = 8'192;
    std::uint32_t udp_associations = 256;
    std::uint64_t memory = 0; ///< Not given: memory.total, as fair_memory shares it.
    std::uint64_t detached_memory = 256ULL << 20;

    bool operator==(const user_limit_settings&) const = default;
};

/// With no value given.
[[nodiscard]] user_limit_settings no_user_limits();

/// What is given in `own`, and else in `general`.
[[nodiscard]] user_limit_settings over(const user_limit_settings& own,
                                       const user_limit_settings& general);

/// Fewer links would end sessions that are allowed: `of_session` is link.max.
[[nodiscard]] std::uint32_t links_needed(std::uint32_t sessions, std::uint32_t of_session);

void bind_user_limits(config_section& section, user_limit_settings& limits);

} // namespace muxsocks::server
