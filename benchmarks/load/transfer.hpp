#pragma once

/// \file
/// One direction of a measured transfer as it looks on the wire between the load generator's client
/// and its target, and the two state machines that send and receive it. Both ends are this program
/// on one machine, so integers travel in the machine's own order.
///
///     request    32 bytes, client to target, tells what the connection is for
///     chunk      header (length u32, mark u32), then `length` bytes of content; never empty
///     end        chunk header with length 0, then the sender's report (length u64, hash u64)
///     report     16 bytes, receiver to sender: what arrived; the sender compares it with its own
///
/// A transfer has a length from the beginning or goes on until its sender is told to stop; in both
/// cases the end says how much there was, so both ends check length and hash without half-closing
/// (which most proxies do not carry).

#include "benchmarks/load/content.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace muxsocks::load {

enum class operation : std::uint8_t {
    download = 1, ///< the target sends; one byte from the client stops it
    upload = 2,   ///< the client sends
    counters = 3, ///< each byte from the client is answered with one `target_counters`
};

/// The first bytes of a connection. A connection that begins with any other byte than `first_byte`
/// is echoed.
struct request {
    static constexpr std::uint8_t first_byte = 'M';

    std::array<std::uint8_t, 4> magic{first_byte, 'X', 'L', '1'};
    operation op = operation::download;
    std::array<std::uint8_t, 3> reserved{};
    std::uint64_t length = 0; ///< payload bytes; 0 means until stopped
    std::uint64_t seed = 0;
    std::uint64_t reserved_too = 0;

    bool valid() const;
};
static_assert(sizeof(request) == 32);

struct report {
    std::uint64_t bytes = 0;
    std::uint64_t hash = 0;
    friend bool operator==(const report&, const report&) = default;
};
static_assert(sizeof(report) == 16);

/// What the target has seen since it started, over all connections.
struct target_counters {
    std::uint64_t bytes_received = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t faults = 0; ///< transfers whose bytes were wrong, seen at the target
};

struct chunk_header {
    static constexpr std::uint32_t mark_value = 0x6b6e6843;
    std::uint32_t length = 0;
    std::uint32_t mark = mark_value;
};
static_assert(sizeof(chunk_header) == 8);

/// Sends content over a non-blocking socket, one system call for up to a whole chunk.
class content_sender {
  public:
    /// `length` in payload bytes, 0 for "until stop()".
    content_sender(std::uint64_t seed, std::uint64_t length);

    /// Writes once. Returns the payload bytes that the socket took, nothing if the socket failed
    /// (see errno). A socket that would block is no failure.
    std::optional<std::size_t> write_once(int socket);

    /// Ends the transfer behind the chunk that is under way.
    void stop();

    /// Whether everything, the end included, has been given to the socket.
    bool finished() const { return phase_ == phase::finished; }

    /// What was sent; final once finished() holds.
    report sent() const { return {bytes_, hash_.value()}; }

  private:
    enum class phase { chunk, end, finished };

    void begin_chunk();
    void begin_end();

    std::size_t block_phase_;
    content_hash block_hash_;
    content_hash hash_;
    std::uint64_t bytes_ = 0;
    std::uint64_t left_; ///< payload bytes not yet put into chunks; unused when endless
    bool endless_;
    bool stopped_ = false;
    phase phase_ = phase::chunk;
    std::array<std::uint8_t, sizeof(chunk_header) + sizeof(report)> head_{};
    std::size_t head_bytes_ = 0;
    std::size_t payload_bytes_ = 0;
    std::size_t written_ = 0; ///< of head and payload of the present chunk
};

/// Takes what a content_sender sent, cut anywhere.
class content_receiver {
  public:
    enum class state { receiving, finished, broken };

    /// Returns the state after these bytes. Bytes behind the end make it broken.
    state take(std::span<const std::uint8_t> bytes);

    state current() const { return state_; }
    std::uint64_t bytes() const { return bytes_; }

    /// What arrived, once finished.
    report received() const { return {bytes_, hash_.value()}; }

    /// Whether the transfer ended and what arrived is what the sender says it sent.
    bool intact() const { return state_ == state::finished && received() == claimed_; }

  private:
    void take_header();

    content_hash hash_;
    std::uint64_t bytes_ = 0;
    std::uint32_t chunk_left_ = 0;
    bool in_end_ = false;
    std::array<std::uint8_t, sizeof(report)> head_{};
    std::size_t head_bytes_ = 0;
    report claimed_;
    state state_ = state::receiving;
};

} // namespace muxsocks::load
