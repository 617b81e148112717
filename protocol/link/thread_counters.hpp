#pragma once

/// \file
/// What a thread has counted since it began, in plain integers that nobody else touches: whoever
/// wants to know posts a question to the thread. They only rise; what is under way now is asked of
/// the objects themselves.

#include "protocol/link/end_reason.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace muxsocks {

struct session_statistics;

/// How often something took how long.
struct time_histogram {
    static constexpr std::array<double, 16> bounds{.001, .0025, .005, .01, .025, .05, .1,  .25,
                                                   .5,   1,     2.5,  5,   10,   60,  600, 3600};
    void add(std::chrono::nanoseconds time) noexcept;
    time_histogram& operator+=(const time_histogram& other) noexcept;

    /// Of each: times up to this bound and above the one before; the last: above all.
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    double seconds = 0;
};

/// How often the session went on over another link.
std::uint64_t resumed_of(const session_statistics& counted) noexcept;

/// Of sessions, those that are over and those that are not.
struct session_totals {
    session_totals() = default;
    /// What a session has counted.
    explicit session_totals(const session_statistics& counted) noexcept;
    session_totals& operator+=(const session_totals& other) noexcept;
    session_totals& operator-=(const session_totals& other) noexcept;

    std::uint64_t streams_opened = 0;
    std::uint64_t bytes_sent = 0; ///< Payload of streams.
    std::uint64_t bytes_received = 0;
    std::uint64_t resumed = 0; ///< Times that one went on over another link.
    std::uint64_t shed = 0;
    std::uint64_t refused = 0;
};

struct thread_counters {
    void on_link_up(std::chrono::nanoseconds handshake) noexcept {
        ++links_established;
        handshakes.add(handshake);
    }
    void on_link_lost(std::error_code why) noexcept {
        ++links_lost[static_cast<std::size_t>(link_end_of(why))];
    }
    void on_handshake_failed(std::error_code why) noexcept {
        ++handshakes_failed[static_cast<std::size_t>(link_end_of(why))];
    }
    void on_stream_ended(std::error_code why, std::chrono::nanoseconds age) noexcept {
        ++streams_ended[static_cast<std::size_t>(stream_end_of(why))];
        stream_ages.add(age);
    }
    /// The reply with which a request was answered: REP of RFC 1928.
    void on_reply(std::uint8_t rep) noexcept {
        ++replies[rep < replies.size() ? rep : replies.size() - 1];
    }
    void on_denied(denied_by rule) noexcept { ++denied[static_cast<std::size_t>(rule)]; }
    thread_counters& operator+=(const thread_counters& other) noexcept;

    std::uint64_t links_established = 0; ///< TLS was up.
    std::array<std::uint64_t, link_ends> links_lost{};
    std::array<std::uint64_t, link_ends> handshakes_failed{};
    time_histogram handshakes;
    session_totals sessions; ///< As far as they have told.
    std::uint64_t sessions_begun = 0;
    std::array<std::uint64_t, stream_ends> streams_ended{};
    time_histogram stream_ages;
    time_histogram gaps; ///< How long sessions were without a link, of those that got one again.
    std::uint64_t sessions_lost = 0; ///< Given up without a link.
    /// By REP; the last is all above.
    std::array<std::uint64_t, 10> replies{};
    time_histogram dials;                             ///< To targets, that succeeded.
    time_histogram dials_failed;                      ///< And those that did not.
    std::array<std::uint64_t, denied_rules> denied{}; ///< Dials, by rule.
    std::uint64_t authentications_failed = 0;
    // Connections that a client has made itself, without a server.
    std::uint64_t direct_opened = 0;
    std::uint64_t direct_failed = 0;
    std::uint64_t direct_bytes_up = 0; ///< From applications.
    std::uint64_t direct_bytes_down = 0;
};

} // namespace muxsocks
