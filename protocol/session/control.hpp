#pragma once

/// \file
/// The payloads of CTRL frames of a session over several links: encode, decode, bounds. Each begins
/// with a type byte. Whether a frame may come at this point is for session.hpp.

#include "protocol/link_facts.hpp"
#include "protocol/session/crypto.hpp"

#include <optional>
#include <string>
#include <vector>

namespace muxsocks {

/// Names a session, so that links can join it; random, not secret.
using session_id = std::array<std::uint8_t, 16>;

enum class control_type : std::uint8_t {
    hello = 0x01,
    auth = 0x02,
    auth_ok = 0x03,
    auth_fail = 0x04,
    credit = 0x10,
    ack = 0x20,
    join = 0x21,
    join_ok = 0x22,
    join_fail = 0x23,
    drop = 0x24,
    goaway = 0x30,
    close = 0x31,
    datagram = 0x80,
    notice = 0x81,
};

/// Types from here on are ignored when unknown; unknown types below end the session.
inline constexpr std::uint8_t control_ignorable_from = 0x80;
inline constexpr std::uint64_t credit_limit_max = std::uint64_t{1} << 62;

/// Counts such frames in front of the first one that says what its sender is: HELLO, JOIN, or the
/// answer to JOIN. Before that nobody has shown anything, so there is room for few.
class leading_extensions {
  public:
    static constexpr std::size_t frames_max = 16;
    static constexpr std::size_t bytes_max = 4096; ///< Headers included.

    /// Whether one more frame, of `size` bytes with its header, is within the bounds.
    bool take(std::size_t size) {
        bytes_ += size;
        return ++frames_ <= frames_max && bytes_ <= bytes_max;
    }

  private:
    std::size_t frames_ = 0;
    std::size_t bytes_ = 0;
};

namespace feature {
inline constexpr std::uint32_t channel_binding = 1U << 0;
inline constexpr std::uint32_t resume = 1U << 1;    ///< The session can be without a link.
inline constexpr std::uint32_t datagrams = 1U << 2; ///< Of UDP associations.
inline constexpr std::uint32_t notice = 1U << 3;
} // namespace feature

struct hello_frame {
    static constexpr std::size_t size_max = 4096;
    static constexpr std::size_t tlvs_max = 32;
    static constexpr std::uint8_t tlv_max_links = 1;
    static constexpr std::uint8_t tlv_join_at = 2;
    static constexpr std::size_t join_at_max = 255;
    std::uint8_t version = 2;
    std::uint32_t features = 0;
    std::uint32_t initial_window = 0; ///< Bytes of DATA accepted on a new stream without CREDIT.
    std::uint32_t max_streams = 0;    ///< Streams of the receiver of this frame open at once.
    nonce16 nonce{};
    std::uint8_t max_links = 1; ///< Links of the session at once; not 0.
    std::string join_at;        ///< Server: where JOIN is dialled first; empty: nowhere else.
};

struct auth_frame {
    std::uint8_t method = 0; ///< 0 none, 1 token.
    std::string user;        ///< At most 255 bytes.
    digest mac{};
};

struct auth_ok_frame {
    session_id id{};
    std::uint32_t resume_timeout_ms = 0; ///< 0: the session ends with its last link.
    digest mac{};
};

struct join_frame {
    std::uint8_t version = 2;
    session_id id{};
    link_number number = 0;
    digest proof{};
};

struct join_ok_frame {
    link_number number = 0;
    digest proof{};
};

enum class join_failure : std::uint8_t {
    unknown_session = 1, ///< Unknown, expired or a wrong proof, all alike.
    number_used = 2,     ///< A right proof for a link that there was already.
    try_later = 3,
};

struct join_fail_frame {
    join_failure code = join_failure::unknown_session;
    std::uint32_t retry_ms = 0;
};

/// "I have given that link up", and how many of its kept frames have been processed.
struct drop_frame {
    link_number number = 0;
    std::uint64_t frames = 0;
};

struct goaway_frame {
    static constexpr std::size_t text_max = 255;
    /// As last_stream: all that come are taken, until the end of the session.
    static constexpr std::uint32_t any_stream = 0xffff'ffff;
    std::uint32_t last_stream = 0;
    std::uint8_t code = 0;
    std::uint32_t drain_ms = 0;
    std::string text;
};

struct close_frame {
    static constexpr std::size_t text_max = 255;
    std::uint8_t code = 0;
    std::uint16_t detail = 0; ///< Of docs/PROTOCOL.md, for programs; 0 says nothing.
    std::string text;         ///< For people.
};

/// docs/PROTOCOL.md lists them.
namespace notice_code {
inline constexpr std::uint16_t other = 0;
inline constexpr std::uint16_t quota = 1;
inline constexpr std::uint16_t maintenance = 2;
inline constexpr std::uint16_t policy = 3;
} // namespace notice_code

struct notice_frame {
    static constexpr std::size_t text_max = 255;
    std::uint16_t code = 0;
    std::uint32_t retry_after_s = 0;
    std::string text;
};

/// Payload of the CTRL frame, type byte included. Texts are cut at their bounds.
std::vector<std::uint8_t> encode(const hello_frame& frame);
std::vector<std::uint8_t> encode(const auth_frame& frame);
std::vector<std::uint8_t> encode(const auth_ok_frame& frame);
std::vector<std::uint8_t> encode(const join_frame& frame);
std::vector<std::uint8_t> encode(const join_ok_frame& frame);
std::vector<std::uint8_t> encode(const join_fail_frame& frame);
std::vector<std::uint8_t> encode(const drop_frame& frame);
std::vector<std::uint8_t> encode(const goaway_frame& frame);
std::vector<std::uint8_t> encode(const close_frame& frame);
std::vector<std::uint8_t> encode(const notice_frame& frame);
std::vector<std::uint8_t> encode_auth_fail();

/// The whole CTRL frame on stream 0 that carries one of these payloads.
std::vector<std::uint8_t> control_frame(bytes_view payload);

/// Decode a payload whose type byte has been looked at; empty if a field is cut off, out of its
/// bounds or followed by more than the frame has room for.
std::optional<hello_frame> decode_hello(bytes_view payload);
std::optional<auth_frame> decode_auth(bytes_view payload);
std::optional<auth_ok_frame> decode_auth_ok(bytes_view payload);
bool decode_auth_fail(bytes_view payload);
std::optional<join_frame> decode_join(bytes_view payload);
std::optional<join_ok_frame> decode_join_ok(bytes_view payload);
std::optional<join_fail_frame> decode_join_fail(bytes_view payload);
std::optional<drop_frame> decode_drop(bytes_view payload);
std::optional<goaway_frame> decode_goaway(bytes_view payload);
std::optional<close_frame> decode_close(bytes_view payload);
std::optional<notice_frame> decode_notice(bytes_view payload);
/// ACK and CREDIT: one u64 behind the type byte.
std::optional<std::uint64_t> decode_u64(bytes_view payload);

} // namespace muxsocks
