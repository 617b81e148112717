#pragma once

/// \file
/// What a program does at one moment, as plain values: each worker fills in its own part in its own
/// thread, the parts are added, and all that shows state (log statistics, metrics, status) reads
/// only the sum. Up is from the client to the server, on both sides.

#include "protocol/link/thread_counters.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace muxsocks {

struct link_snapshot {
    std::uint32_t number = 0; ///< In its session.
    std::string roles;        ///< What of the session goes by it: "small frames and bulk".
    std::string takes;        ///< The same with how, and what TCP knows: for the log.
    std::string peer;         ///< "192.0.2.1:443".
    std::string tls;          ///< What was agreed on; "plain" for none.
    double rtt_seconds = 0;   ///< Of PINGs; 0: not known.
    double tcp_rtt_seconds = 0;
    std::uint64_t sent_packets = 0;
    std::uint64_t retransmits = 0; ///< Of those, packets that were sent again.
    std::uint64_t bytes_sent = 0;  ///< On the wire, and acknowledged.
    std::uint64_t bytes_received = 0;
    double age_seconds = 0;
};

struct stream_snapshot {
    std::uint32_t id = 0;
    std::uint64_t session_id = 0;
    std::string session; ///< The name of its session.
    std::string destination;
    std::uint64_t bytes_up = 0;
    std::uint64_t bytes_down = 0;
    double age_seconds = 0;
};

struct session_snapshot {
    std::uint64_t id = 0; ///< No other has it as long as the program runs; 0: there is none.
    std::string name;     ///< The client: the server's address. The server: user@address.
    std::string user;     ///< Empty for a client, and where there are no users.
    std::string state;    ///< "attached", "detached", or of a client without session "down".
    std::string reason;   ///< Why it is down.
    std::uint64_t streams = 0;
    std::uint64_t streams_opened = 0;
    std::uint64_t bytes_up = 0;
    std::uint64_t bytes_down = 0;
    std::uint64_t resumed = 0;
    std::uint64_t bytes_held = 0;
    double rtt_seconds = 0;
    std::vector<link_snapshot> links;
};

/// How much a session or a stream counts where not all are shown.
[[nodiscard]] inline std::uint64_t weight_of(std::uint64_t streams, bool attached) {
    return streams * 2 + (attached ? 1 : 0);
}
[[nodiscard]] inline std::uint64_t weight_of(const session_snapshot& one) {
    return weight_of(one.streams, !one.links.empty());
}
[[nodiscard]] inline std::uint64_t weight_of(const stream_snapshot& one) {
    return one.bytes_up + one.bytes_down;
}

/// "3 streams, 7 opened, ...", for the log.
[[nodiscard]] std::string describe(const session_snapshot& session);

struct user_snapshot {
    std::uint64_t sessions = 0;
    std::uint64_t streams = 0;
    std::uint64_t bytes_up = 0; ///< Since the program began.
    std::uint64_t bytes_down = 0;
    std::uint64_t sessions_max = 0; ///< 0: without a bound. Of the user, not of a part.
    std::uint64_t streams_max = 0;
    std::uint64_t memory_max = 0;
    std::uint64_t rate_up = 0; ///< In bits a second; 0: no bound.
    std::uint64_t rate_down = 0;
    double expires = 0;            ///< In seconds since 1970; 0: never.
    std::uint64_t quota_bytes = 0; ///< 0: no quota.
    std::uint64_t quota_used = 0;

    user_snapshot& operator+=(const user_snapshot& other);
};

/// What a user has moved, as it is kept. Times are seconds since 1970; 0: never.
struct usage_snapshot {
    std::uint64_t total_up = 0;
    std::uint64_t total_down = 0;
    std::uint64_t period_up = 0;
    std::uint64_t period_down = 0;
    std::string per; ///< "day", "week", "month", "ever".
    double period_begin = 0;
    double period_end = 0;
    double since = 0;
    double last = 0;
    std::uint64_t quota_bytes = 0; ///< 0: no quota.
    std::uint64_t quota_used = 0;
};

/// What is asked for: lists cost more than sums.
struct snapshot_request {
    static constexpr auto all = std::numeric_limits<std::size_t>::max();

    /// How many sessions are shown, those with most streams; 0: there are their sums only.
    std::size_t sessions = all;
    /// Of the streams with most bytes; 0: none.
    std::size_t streams = 0;
    /// Whether what each user has moved is shown (`snapshot::usage`).
    bool usage = false;
};

/// The heaviest `most` of any number of things, without a place for the others.
template <typename Element>
class heaviest {
  public:
    explicit heaviest(std::size_t most) : most_(most) {}

    /// Whether one of that weight would be kept.
    [[nodiscard]] bool wants(std::uint64_t weight) const {
        return kept_.size() < most_ || (most_ > 0 && weight > kept_.front().first);
    }
    /// Only what it wants.
    void add(std::uint64_t weight, Element one) {
        if (kept_.size() == most_) {
            std::pop_heap(kept_.begin(), kept_.end(), lighter_last);
            kept_.pop_back();
        }
        kept_.emplace_back(weight, std::move(one));
        std::push_heap(kept_.begin(), kept_.end(), lighter_last);
    }
    /// In any order.
    [[nodiscard]] std::vector<Element> take() {
        std::vector<Element> taken;
        taken.reserve(kept_.size());
        for (auto& each : kept_)
            taken.push_back(std::move(each.second));
        kept_.clear();
        return taken;
    }

  private:
    using weighed = std::pair<std::uint64_t, Element>;
    static bool lighter_last(const weighed& a, const weighed& b) { return a.first > b.first; }

    std::size_t most_;
    std::vector<weighed> kept_; ///< A heap with the lightest in front.
};

/// Of all sessions.
struct session_sums {
    std::uint64_t attached = 0;
    std::uint64_t detached = 0;
    std::uint64_t down = 0; ///< Servers that a client has no session with.
    std::uint64_t links = 0;
    std::uint64_t streams = 0;
    std::uint64_t bytes_held = 0;
    std::vector<float> rtts; ///< Of those with a link, in seconds.

    session_sums& operator+=(session_sums&& other);
};

struct snapshot {
    thread_counters counted;
    session_sums all;
    std::vector<session_snapshot> sessions;
    std::vector<stream_snapshot> streams;
    std::map<std::string, user_snapshot> users; ///< The server's only.
    bool accounting = false;                    ///< Whether what they move is kept.
    std::map<std::string, usage_snapshot> usage;
    std::uint64_t waiting = 0; ///< Requests that wait for a link, or for a dial.
    std::uint64_t direct = 0;  ///< A client's connections without a server.
    std::uint64_t dials = 0;   ///< Under way.
    std::uint64_t lookups = 0;
    std::uint64_t lookups_waiting = 0;
    std::uint64_t unauthenticated = 0; ///< Links that have not authenticated.
    std::uint64_t memory_held = 0;
    std::uint64_t memory_limit = 0;
    bool ready = false; ///< The client: a link is up that answers. The server: it takes streams.

    /// Lists are put one behind the other, numbers added; what the whole process has is added once.
    snapshot& operator+=(snapshot&& part);
    /// Keeps no more than was asked for: the sessions with most streams, in the order of their ids
    /// (all of them, if they were asked for, in any order), and the streams that have carried most,
    /// the busiest first.
    void keep(const snapshot_request& asked);
};

} // namespace muxsocks
