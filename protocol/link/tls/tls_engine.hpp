#pragma once

/// \file
/// One TLS connection without a socket: ciphertext in, plaintext out, and back. The handshake is
/// OpenSSL's, what comes behind it tls_traffic's, which encrypts and decrypts from the caller's
/// memory into the caller's. It keeps no buffer between calls but for a record that has not arrived
/// whole, so many idle links can share one scratch buffer. It never waits and never fails for want
/// of room to send: whatever TLS wants to send by itself (handshake, key update, alerts) is
/// appended to the output buffer of the call, and the caller looks there after every call, failed
/// ones included.
///
///     new -> start_handshake -> decrypt ... -> handshake_done -> encrypt, decrypt ... -> shutdown
///
/// One thread at a time; an engine may move between threads and in memory between calls.

#include "protocol/link/loop/output_buffer.hpp"
#include "protocol/link/tls/tls_context.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

struct ssl_st;
struct bio_st;

namespace muxsocks {

struct tls_circumstances;
struct tls_fault;
struct tls_io;
struct tls_secrets;
class tls_traffic;

/// The most bytes of plaintext that an engine can still hold from earlier calls: one whole record.
inline constexpr std::size_t tls_plaintext_held_max = 16384;

struct decrypt_result {
    /// Set: the link is over, but the plaintext of this call is good. See tls_engine::error_text.
    std::error_code error;
    /// Bytes of plaintext written to `out`.
    std::size_t plaintext = 0;
    /// Bytes of ciphertext taken; all of them, unless `more` or at the end of the link.
    std::size_t ciphertext_used = 0;
    /// Whether `out` was too small: handle the plaintext, then call again with the ciphertext that
    /// is left, even if none is. No socket event will tell. Never set when `out` has room for the
    /// size of the ciphertext and tls_plaintext_held_max more.
    bool more = false;
    /// Whether the peer said close_notify: nothing more will come. Not an error.
    bool peer_closed = false;
};

class tls_engine {
  public:
    /// `server_name` (a client's only) is the name or IP address of the server in place of the
    /// settings' own. Throws std::bad_alloc if OpenSSL cannot make a connection.
    explicit tls_engine(const tls_context& context, std::string_view server_name = {});
    tls_engine(tls_engine&&) noexcept;
    tls_engine& operator=(tls_engine&&) noexcept;
    ~tls_engine();

    /// Begins: a client's hello is appended to `out`; a server only waits. Call it once, first.
    std::error_code start_handshake(output_buffer& out);

    /// Feeds `ciphertext` (any piece of what the peer sent, in order) and decrypts into `plain`.
    /// Both may not overlap. Runs the handshake while it lasts.
    decrypt_result decrypt(std::span<const std::uint8_t> ciphertext, std::span<std::uint8_t> plain,
                           output_buffer& out);

    /// Encrypts all of `plain`, as full records of 16,384 bytes and a rest, and appends them to
    /// `out`. Only after handshake_done.
    std::error_code encrypt(std::span<const std::uint8_t> plain, output_buffer& out);

    /// Appends close_notify: we send no more. Reading goes on. Nothing happens before the
    /// handshake's end or after an error.
    void shutdown(output_buffer& out);

    /// The socket is at its end of file: success if the peer had said close_notify, else what it
    /// means. Without close_notify bytes may be missing.
    std::error_code end_of_file();

    bool handshake_done() const;
    /// One full sentence about the last error, with names, dates and pins; empty if there was none.
    /// What came from the peer is escaped in it.
    const std::string& error_text() const { return error_text_; }

    /// The exporter: 32 bytes that both ends of this TLS connection know and nobody else (RFC 8446
    /// section 7.5, docs/PROTOCOL.md, Link). Only after handshake_done.
    const std::array<std::uint8_t, 32>& exporter() const;
    /// The protocol that both agreed on; empty if the peer knows no ALPN. Only after
    /// handshake_done.
    std::string alpn() const { return facts_.alpn; }
    /// Such as "TLS_AES_128_GCM_SHA256".
    std::string cipher() const { return facts_.cipher; }
    /// The cipher and the group of the key exchange, such as "TLS_AES_128_GCM_SHA256, x25519".
    std::string agreed() const { return facts_.cipher + ", " + facts_.group; }
    /// Subject of the peer's verified certificate (RFC 4514, escaped); empty without one.
    std::string peer_subject() const { return error_ ? std::string() : facts_.peer_subject; }
    /// Pin of the peer's certificate, verified or not; nothing without one.
    std::optional<sha256_digest> peer_pin() const;
    /// How often this side has changed its sending key.
    std::uint64_t key_updates_sent() const;

  private:
    struct ssl_deleter {
        void operator()(ssl_st* ssl) const;
    };

    /// What the handshake has settled. OpenSSL's object, which takes 15 KiB, goes with it.
    struct facts {
        std::string alpn;
        std::string cipher;
        std::string group;
        std::string peer_subject;
        std::optional<sha256_digest> peer_pin;
        std::array<std::uint8_t, 32> exporter{};
    };

    std::error_code shake_hands(tls_io& io, bool& peer_closed);
    std::error_code begin_traffic();
    facts settled() const;
    tls_circumstances circumstances(const tls_fault& verdict) const;
    void note_first_bytes(std::span<const std::uint8_t> ciphertext);
    std::span<const std::uint8_t> first_bytes() const;
    std::error_code fail(tls_fault fault);

    std::shared_ptr<const tls_context::state> context_;
    std::unique_ptr<ssl_st, ssl_deleter> ssl_; ///< Until the handshake is done.
    /// Belongs to ssl_.
    bio_st* bio_ = nullptr;
    std::string server_name_;
    std::error_code error_;
    std::string error_text_;
    /// How the peer's first record begins, or what is there instead of one; for the diagnosis.
    std::array<std::uint8_t, 3> first_bytes_{};
    std::size_t first_bytes_count_ = 0;
    std::unique_ptr<tls_secrets> secrets_; ///< While the handshake makes them.
    facts facts_;
    std::unique_ptr<tls_traffic> traffic_; ///< Once the handshake is done.
};

} // namespace muxsocks
