#include "client/link_watch.hpp"

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

/// How long a peer that was sending may rest before it is asked whether it is still there.
constexpr duration rest = 3s;
constexpr duration rest_after_stall = 1s;
/// A gap may stand for some time while what is behind it arrives: TCP is mending it.
constexpr int gap_patience = 4;
/// Packets that came this much later than ours were last acknowledged came through a living path.
constexpr duration meanwhile = 1s;
/// More than a slow line's queue holds, and longer than one takes.
constexpr std::uint64_t queue_bytes = 256 * 1024;
constexpr duration queue_time = 60s;
/// What a new link carries of itself, without being of use to a stream.
constexpr std::uint64_t overhead_bytes = 4096;

} // namespace

void link_watch::begin(const progress_facts& at_first, bool again, instant now) {
    *this = {};
    first_ = last_ = at_first;
    begun_ = sent_ = acked_ = received_ = now;
    again_ = again;
    observe(at_first, now);
}

void link_watch::observe(const progress_facts& seen, instant now) {
    const auto& path = seen.path;
    const auto& before = last_.path;
    const bool acked = path.acked_bytes != before.acked_bytes;
    const bool sent = acked || path.delivered != before.delivered;
    const bool behind_gap = path.out_of_order != before.out_of_order;
    const bool received = behind_gap || path.received_bytes != before.received_bytes;
    if (acked) acked_ = std::max(acked_, now - path.since_ack);
    if (sent) sent_ = std::max(sent_, now - path.since_ack);
    if (received) received_ = std::max(received_, behind_gap ? now : now - path.since_received);
    if (path.in_flight == 0)
        flying_.reset();
    else if (!flying_)
        flying_ = now;
    if (sent || flying_ == now) received_meanwhile_ = path.received_bytes;
    if (!seen.owes)
        owed_.reset();
    else if (!owed_)
        owed_ = now;
    const bool frames_came = seen.frames_received != last_.frames_received;
    const bool frames = frames_came || seen.frames_acked != last_.frames_acked;
    if (frames_came) asked_ = false;
    progressed_ = progressed_ || frames;
    const auto carried = (path.acked_bytes - first_.path.acked_bytes) +
                         (path.received_bytes - first_.path.received_bytes);
    const bool carries = (sent || received) && carried > overhead_bytes;
    const bool nothing_due = !seen.owes && path.in_flight == 0;
    if (frames || carries || nothing_due) useful_ = now;
    last_ = seen;
}

link_watch::stall link_watch::judge(duration patience, instant now) const {
    patience = std::max(patience, 3 * last_.path.rtt);
    if (flying_) {
        const bool stands = now - std::max(sent_, *flying_) >= patience;
        const bool gap = now - std::max(acked_, *flying_) >= gap_patience * patience;
        const bool alive = received_ > std::max(acked_, *flying_) + meanwhile;
        if ((stands || gap) && !may_be_queued(patience, now))
            return alive && last_.path.timeouts > 0 ? stall::swallowed : stall::stuck;
    }
    if (owed_ && now - std::max(moved(), *owed_) >= patience) return stall::silent;
    return stall::none;
}

/// Whether the acknowledgement that is missed may stand in a queue, behind what is coming in.
bool link_watch::may_be_queued(duration patience, instant now) const {
    const auto came = last_.path.received_bytes - received_meanwhile_;
    return now - received_ < patience && came < queue_bytes &&
           now - std::max(sent_, *flying_) < queue_time;
}

bool link_watch::wants_probe(instant now) const {
    if (asked_ || owed_ || !last_.streams) return false;
    return now - received_ >= (again_ && !progressed_ ? rest_after_stall : rest);
}

} // namespace muxsocks::client
