#pragma once

/// \file
/// The record protection of one direction of a TLS 1.3 connection behind its handshake (RFC 8446
/// section 5): plaintext to records and back, straight from the caller's memory into the caller's
/// memory. OpenSSL's own records take each byte through two buffers more on either side, which was
/// an eighth of what a link costs. The handshake stays OpenSSL's; the traffic secrets come from
/// there, the ciphers from libcrypto.

#include "protocol/link/loop/output_buffer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

struct evp_cipher_ctx_st;

namespace muxsocks {

/// RFC 8446 section 5.1: what a record carries.
enum class tls_content : std::uint8_t { alert = 21, handshake = 22, application_data = 23 };

inline constexpr std::size_t tls_header_size = 5;
inline constexpr std::size_t tls_tag_size = 16; ///< Of all our ciphers.
/// Bytes of content in a record at most.
inline constexpr std::size_t tls_content_max = 16384;
/// What a record is longer than its content: header, type of the content, tag.
inline constexpr std::size_t tls_record_overhead = tls_header_size + 1 + tls_tag_size;
/// The body of a record at most, header not counted (RFC 8446 section 5.2).
inline constexpr std::size_t tls_body_max = tls_content_max + 256;

/// A traffic secret (RFC 8446 section 7.1), as long as its hash. Wiped when it goes.
class traffic_secret {
  public:
    static constexpr std::size_t size_max = 48;

    traffic_secret() = default;
    explicit traffic_secret(std::span<const std::uint8_t> bytes);
    traffic_secret(const traffic_secret&) = default;
    traffic_secret& operator=(const traffic_secret&) = default;
    ~traffic_secret();

    std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size_}; }
    bool empty() const { return size_ == 0; }

  private:
    std::array<std::uint8_t, size_max> bytes_{};
    std::size_t size_ = 0;
};

class record_protection {
  public:
    enum class direction : std::uint8_t { sending, receiving };

    /// `suite` is the cipher suite's number (RFC 8446 appendix B.4), `first` its first traffic
    /// secret. Throws std::bad_alloc where OpenSSL cannot make the cipher.
    record_protection(direction way, std::uint16_t suite, traffic_secret first);
    record_protection(record_protection&&) noexcept;
    record_protection& operator=(record_protection&&) noexcept;
    ~record_protection();

    /// Appends `content` to `out`, in records of tls_content_max and a rest; one empty record for
    /// none. False where libcrypto fails.
    bool seal(tls_content type, std::span<const std::uint8_t> content, output_buffer& out);

    struct opened {
        std::uint8_t type = 0; ///< Of the content, as the peer has it; not judged.
        std::size_t size = 0;  ///< Of the content, at the begin of `out`.
    };
    /// Opens one whole record, header included, whose body has more than tls_tag_size bytes. `out`
    /// has room for them without the tag, and does not overlap the record. Nothing if the record
    /// is not authentic, or is padding only: then what is in `out` must not be used.
    std::optional<opened> open(std::span<const std::uint8_t> record, std::span<std::uint8_t> out);

    /// Goes on with the next generation of keys (RFC 8446 section 7.2).
    void update();

  private:
    struct context_deleter {
        void operator()(evp_cipher_ctx_st* context) const;
    };

    void set_keys();
    std::array<std::uint8_t, 12> next_nonce();

    direction way_;
    std::uint16_t suite_;
    traffic_secret secret_;
    std::array<std::uint8_t, 12> iv_{};
    std::uint64_t records_ = 0; ///< Under the present key: the next record's number.
    std::unique_ptr<evp_cipher_ctx_st, context_deleter> context_;
};

} // namespace muxsocks
