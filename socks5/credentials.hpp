#pragma once

/// \file
/// The users of RFC 1929, compared so that the time of a check tells nothing: neither whether a
/// user exists nor how much of a password was right. Reading them from a configuration is left to
/// others.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <vector>

namespace muxsocks::socks5 {

/// A list of user names and passwords. A check costs one fixed comparison of 512 bytes for each
/// entry, whatever was presented, which is meant for the users of one local proxy, not for
/// thousands.
class credentials {
  public:
    /// Adds an entry. A user may have several (while a password is being changed).
    /// errc::credential_length if either has not 1 to 255 bytes.
    std::error_code add(std::string_view user, std::string_view password);

    /// Whether an entry has both. Texts that are empty or longer than 255 bytes match none.
    bool check(std::string_view user, std::string_view password) const;

    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }

  private:
    /// The length and then the text, zeros behind it: all comparisons have the same length.
    using padded = std::array<std::uint8_t, 256>;
    struct entry {
        padded user;
        padded password;
    };

    static padded pad(std::string_view text);
    static std::uint64_t difference(const padded& a, const padded& b);

    std::vector<entry> entries_;
};

} // namespace muxsocks::socks5
