#pragma once

/// \file
/// PING and PONG: when to probe, when the peer counts as dead, and the round-trip time. Tokens (8
/// bytes, version 2) tell which PING a PONG answers; any received byte is life.

#include "protocol/flow_control.hpp"

#include <optional>

namespace muxsocks {

struct keepalive_timing {
    duration interval = std::chrono::seconds(15); ///< Silence before a PING.
    duration timeout = std::chrono::seconds(10);  ///< Silence after the PING before the end.
};

class keepalive {
  public:
    /// How often a busy link is measured.
    static constexpr duration sample_interval = std::chrono::milliseconds(1500);

    explicit keepalive(keepalive_timing settings) : settings_(settings) {}

    /// A new link: the peer counts as heard now; an outstanding PING is forgotten.
    void on_link(instant now);
    void on_bytes(instant now) {
        heard_ = now;
        probing_ = false;
    }
    /// What the transport knows besides: when the peer's bytes last came, though they are no whole
    /// record yet, and when ours last arrived: a PING behind much that a slow line has yet to carry
    /// is no silence. Either may be old.
    void on_path(instant received, instant arrived);
    /// The clock has stood still for us (reading was paused): silence so far does not count.
    void forgive(instant now) { on_bytes(now); }
    /// Sends a PING now, whatever the interval, unless one is under way.
    void probe() {
        ping_due_ = true;
        asks_only_ = false;
    }
    /// The same, but silence is not measured from that PING, only from those of the interval.
    void ask() {
        if (ping_due_ || awaiting_) return;
        ping_due_ = true;
        asks_only_ = true;
    }
    /// While bulk flows: one PING every sample_interval.
    void on_bulk(instant now);
    /// Whether it answers the newest PING.
    bool on_pong(std::uint64_t token, instant now);
    /// A round trip measured otherwise (the handshake), taken only while there is no sample.
    void seed_rtt(duration rtt) {
        if (!sampled_) rtt_ = rtt;
    }

    /// Moves the state to `now`; call it before asking the rest.
    void update(instant now);
    bool ping_due() const { return ping_due_; }
    /// The token of the PING that is sent now.
    std::uint64_t on_ping_sent(instant now);
    bool dead(instant now) const {
        return probing_ && now >= probed_ + settings_.timeout && heard_ <= probed_;
    }
    instant deadline() const {
        return probing_ ? probed_ + settings_.timeout : heard_ + settings_.interval;
    }
    /// Smoothed (EWMA 1/8); zero before the first sample or seed.
    duration rtt() const { return rtt_; }
    instant last_heard() const { return heard_; }
    /// Whether the newest PING has no PONG yet.
    bool awaits_pong() const { return awaiting_; }
    void set(keepalive_timing settings) { settings_ = settings; }

  private:
    keepalive_timing settings_;
    instant heard_{};
    instant probed_{}; ///< When the PING went out that silence is measured from.
    instant sent_{};   ///< When the newest PING went out, for the round-trip time.
    std::uint64_t token_ = 0;
    duration rtt_{0};
    bool probing_ = false;  ///< Whether a PING is out and nothing was heard since.
    bool awaiting_ = false; ///< Whether the newest PING has no PONG yet.
    bool ping_due_ = false;
    bool asks_only_ = false; ///< Whether the PING that is due is that of ask().
    bool sampled_ = false;
};

} // namespace muxsocks
