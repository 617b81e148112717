#pragma once

/// \file
/// What all users have moved, of whom the configuration names. Shared by all threads under a lock
/// that is taken about once a second; the data path knows nothing of it. How it is kept in a file
/// is usage_file.hpp's business. Free of clocks.

#include "server/quota.hpp"

#include <map>
#include <mutex>
#include <string>

namespace muxsocks::server {

/// How a user stands with its quota.
struct quota_standing {
    bool used_up = false;
    bool news = false;              ///< Whether it was not so before.
    std::optional<wall_time> until; ///< None: for good.
};

class usage_book {
  public:
    using users = std::map<std::string, user_usage>;

    usage_book() = default;
    explicit usage_book(users known) : users_(std::move(known)) {}

    /// What a user has moved since it was last said.
    quota_standing add(const std::string& user, const traffic& moved, const quota_settings& quota,
                       wall_time now);
    [[nodiscard]] users all() const;
    [[nodiscard]] std::optional<user_usage> find(const std::string& user) const;
    /// All, if anything has been added since the last time.
    [[nodiscard]] std::optional<users> take_changed();
    /// What was taken could not be kept.
    void set_changed();
    /// Those of before, of a process whose place this one has taken.
    void restore(users known);

  private:
    mutable std::mutex mutex_;
    users users_;
    std::map<std::string, bool> used_up_; ///< Whether it was so when it was last looked at.
    bool changed_ = false;
};

/// As it is kept: JSON, `version` 1.
[[nodiscard]] std::string encode(const usage_book::users& all);
/// Nothing if the text is no such thing, or cut off.
[[nodiscard]] std::optional<usage_book::users> decode_usage(const std::string& text);

} // namespace muxsocks::server
