#pragma once

/// \file
/// UDP in HTTP: the target of a request for it (RFC 9298, section 3), and the capsules that carry
/// datagrams on the connection behind it (RFC 9297, section 3, and RFC 9298, section 5), found
/// while bytes come in. Capsules and contexts that are not known are passed over, as both ask for;
/// a datagram for the target that is longer than UDP's are ends all.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muxsocks::http {

struct udp_target {
    std::string host; ///< A name or an address; IPv6 without brackets.
    std::uint16_t port = 0;
};

/// "/.well-known/masque/udp/192.0.2.6/443/", with a host in which "%3A" is a colon. Nothing if the
/// path is another one; an empty host if it is that one and names no target.
std::optional<udp_target> parse_udp_path(std::string_view path);

/// The longest datagram that UDP carries.
inline constexpr std::size_t udp_payload_max = 65'527;

class capsule_reader {
  public:
    struct result {
        /// Bytes at the front of the input that are dealt with.
        std::size_t used = 0;
        /// One that is complete now; valid until the next call.
        std::optional<std::string_view> datagram{};
    };
    /// Deals with bytes up to the end of the first datagram in them.
    result next(std::string_view input);
    /// What has come is no capsule, or one that nobody may send, and nothing that follows is read.
    bool failed() const { return failed_; }
    /// For another process, between two calls, by protocol/saved_fields.hpp.
    template <class Fields>
    void each_field(Fields& fields) {
        fields(head_, payload_, left_, in_capsule_, passed_over_, too_long_, failed_);
    }

  private:
    bool on_head();
    void on_begin_of_too_long();
    bool on_payload();

    std::string head_;       ///< Type and length, as far as they have come.
    std::string payload_;    ///< Of a datagram, with its context.
    std::size_t size_ = 0;   ///< Of the datagram in it.
    std::uint64_t left_ = 0; ///< Bytes of the capsule that are still to come.
    bool in_capsule_ = false;
    bool passed_over_ = false; ///< The capsule is none of those that count.
    bool too_long_ = false;    ///< It is longer than any datagram, and has no context yet.
    bool failed_ = false;
};

/// What stands in front of a datagram of so many bytes.
std::string capsule_front(std::size_t bytes);

} // namespace muxsocks::http
