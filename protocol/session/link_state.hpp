#pragma once

/// \file
/// One link of a session as the session sees it: what it has carried both ways, who waits for it,
/// and whether it lives.

#include "protocol/ack_watch.hpp"
#include "protocol/keepalive.hpp"
#include "protocol/session/datagram_queue.hpp"
#include "protocol/session/kept_frames.hpp"
#include "protocol/session/receipts.hpp"
#include "protocol/session/scheduler.hpp"

namespace muxsocks {

/// How fast a link carries what streams send, for the quantum and for PINGs while bulk flows.
class rate_meter {
  public:
    static constexpr std::uint64_t sample_bytes = 2 * 1024 * 1024;
    static constexpr std::uint64_t bulk_bytes = 1024 * 1024;

    void on_moved(std::uint64_t bytes) { moved_ += bytes; }
    /// Bytes a second, once in each sample_bytes.
    std::optional<std::uint64_t> sample(instant now) {
        const auto bytes = moved_ - sampled_;
        if (bytes < sample_bytes) return {};
        const auto seconds = std::chrono::duration<double>(now - since_).count();
        sampled_ = moved_;
        since_ = now;
        rate_ = static_cast<std::uint64_t>(static_cast<double>(bytes) / (seconds + 1e-6));
        return rate_;
    }
    std::uint64_t rate() const { return rate_; }
    bool bulk_since_ping() const { return moved_ - pinged_ >= bulk_bytes; }
    void on_ping() { pinged_ = moved_; }

  private:
    std::uint64_t moved_ = 0;
    std::uint64_t sampled_ = 0;
    std::uint64_t pinged_ = 0;
    std::uint64_t rate_ = 0;
    instant since_{};
};

struct link_state {
    enum class phase : std::uint8_t {
        joining, ///< Client: JOIN is due or out, no answer yet.
        up,
    };
    /// What may follow JOIN before its answer has come.
    static constexpr std::size_t joining_bytes_max = 64 * 1024;
    static constexpr std::size_t joining_room_min = 2048; ///< Less is not worth a turn.

    link_state(link_number name, phase begin, kept_memory& memory, const kept_limits& limits,
               bool keep, keepalive_timing timing)
        : number(name), at(begin), kept(memory, limits, keep), alive(timing) {}

    const link_number number;
    phase at;
    std::vector<std::uint8_t> exporter; ///< Until the link is up.
    instant begun{};                    ///< When it came: JOIN is to be answered in time.

    kept_frames kept;
    receipts brought;
    std::vector<std::uint8_t> outbox; ///< Session-level frames, laid before all else.
    std::vector<std::uint8_t> copies; ///< Small frames that another link carries, too.
    std::size_t laid_bytes = 0;       ///< While it is joining.
    leading_extensions leading;       ///< The same: in front of the answer.

    scheduler ready;          ///< Streams that can send now, by this link.
    datagram_queue datagrams; ///< Streams whose owners have datagrams, for this link.
    rate_meter rate;
    bool blocked = false;      ///< Whether the last turn had no room for kept frames.
    instant blocked_retry{};   ///< When to look for room again without an ACK.
    bool stretch_next = false; ///< Whether the next turn is what another link had.

    keepalive alive;
    ack_watch acks;
    std::uint64_t pong_token = 0;
    unsigned pongs_due = 0; ///< Version 2: one, for the newest PING; version 1: one for each.
    std::optional<instant> partial_since; ///< Since when a frame is not complete.
    bool frames_left = false; ///< Whether whole frames wait for the next call of on_bytes().
    /// Since when something but ACK and PONG went out that nothing has come back for.
    std::optional<instant> unanswered_since;
    std::optional<instant> asked_at; ///< When it was doubted, and PINGs went out.
    instant avoid_from{};            ///< From when no answer to them means that it is dead,
    bool others_answered = false;    ///< if another link has had one.
    bool avoided = false; ///< Whether others have answered meanwhile: nothing new goes this way.

    void on_kept(instant now) { acks.on_counts(kept.sent(), kept.acked(), now); }
    bool up() const { return at == phase::up; }
    void blocks_until(instant retry) {
        blocked = true;
        blocked_retry = retry;
    }
};

} // namespace muxsocks
