#include "server/admission_table.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto known_for = 24h;
constexpr auto failures_forgotten_after = 5min;
constexpr unsigned failures_free = 3;
constexpr auto handshake_time = 2s;
/// From a link's arrival until its first bytes have been read, on a busy server.
constexpr auto hearing_time = 250ms;
constexpr auto handshake_pace = 31'250us; ///< Of one block.
constexpr auto handshake_burst = 128;
constexpr auto pause_max = 4s; ///< A client waits 5.
/// Of hosts that authenticated, and of hosts that failed.
constexpr std::size_t hosts_remembered_max = 10'000;

boost::asio::ip::address block_of(const boost::asio::ip::address& whole, unsigned bits_v4,
                                  unsigned bits_v6) {
    const auto masked = [](auto bytes, unsigned bits) {
        for (std::size_t i = 0; i < bytes.size(); ++i, bits -= std::min(bits, 8U))
            bytes[i] &= static_cast<unsigned char>(bits >= 8 ? 0xffU : 0xff00U >> bits);
        return bytes;
    };
    if (whole.is_v4())
        return boost::asio::ip::address_v4(masked(whole.to_v4().to_bytes(), bits_v4));
    return boost::asio::ip::address_v6(masked(whole.to_v6().to_bytes(), bits_v6));
}

/// Those remembered longest go.
template <typename Map, typename Time>
void bound(Map& remembered, Time time_of) {
    if (remembered.size() < hosts_remembered_max) return;
    std::vector<admission_table::time_point> times;
    for (const auto& each : remembered)
        times.push_back(time_of(each.second));
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    std::erase_if(remembered, [&](const auto& each) { return time_of(each.second) <= *middle; });
}

} // namespace

boost::asio::ip::address host_of(const boost::asio::ip::address& from) {
    return block_of(from, 32, 64);
}

void admission_table::insert(link_id id, const boost::asio::ip::address& from, bool exempt,
                             time_point now) {
    place made;
    made.blocks = {block_of(from, 24, 48), block_of(from, 32, 56), host_of(from)};
    made.since = now;
    made.known = is_known(made.blocks[2], now);
    made.exempt = exempt;
    ++of_pool_[made.known ? 1 : 0];
    if (!exempt) ++of_host_[made.blocks[2]];
    links_.emplace(id, std::move(made));
}

void admission_table::leave(link_id id) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    const auto& gone = found->second;
    --of_pool_[gone.known ? 1 : 0];
    if (!gone.exempt)
        if (const auto host = of_host_.find(gone.blocks[2]); --host->second == 0)
            of_host_.erase(host);
    links_.erase(found);
}

admission_table::entry admission_table::enter(const boost::asio::ip::address& from, bool exempt,
                                              time_point now) {
    const auto id = ++last_id_;
    insert(id, from, exempt, now);
    return make_room(id, now);
}

admission_table::entry admission_table::move_to(link_id id, const boost::asio::ip::address& from,
                                                bool exempt, time_point now) {
    const auto found = links_.find(id);
    // It may have lost its place before.
    if (found == links_.end()) return {id, {}};
    const auto before = found->second;
    leave(id);
    insert(id, from, exempt, before.since);
    links_.at(id).progress = before.progress;
    return make_room(id, now);
}

void admission_table::on_progress(link_id id, link_progress to) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    auto& progress = found->second.progress;
    if (progress != link_progress::failed)
        progress = to == link_progress::failed ? to : std::max(progress, to);
}

/// Of its host first, then of all that share the places.
admission_table::entry admission_table::make_room(link_id for_whom, time_point now) {
    entry made{for_whom, {}};
    const auto newcomer = links_.at(for_whom);
    const auto& host = newcomer.blocks[2];
    const auto let_go = [&](const std::vector<link_id>& those) {
        for (const auto one : those)
            leave(one);
        made.must_go.insert(made.must_go.end(), those.begin(), those.end());
        if (!those.empty()) return true;
        leave(for_whom);
        made.id = 0;
        return false;
    };
    const auto of_host = [&](link_id id, const place& each) {
        return id != for_whom && !each.exempt && each.blocks[2] == host;
    };
    const auto of_pool = [&](link_id id, const place& each) {
        return id != for_whom && each.known == newcomer.known;
    };
    if (!newcomer.exempt)
        while (of_host_[host] > limits_.links_per_host) {
            auto those = choose_to_go(of_host, now, 1);
            if (those.empty()) those = choose_unheard(of_host, 1);
            if (!let_go(those)) return made;
        }
    const auto several = std::max<std::size_t>(limits_.links / 64, 1);
    while (of_pool_[newcomer.known ? 1 : 0] > limits_.links) {
        auto those = choose_to_go(of_pool, now, several);
        if (those.empty()) those = choose_of_crowd(of_pool, newcomer, several);
        if (!let_go(those)) return made;
    }
    return made;
}

template <typename Among>
admission_table::places admission_table::places_of(Among among) const {
    places found;
    for (auto each = links_.begin(); each != links_.end(); ++each)
        if (among(each->first, each->second)) found.push_back(each);
    return found;
}

template <typename Among>
std::vector<admission_table::link_id> admission_table::choose_to_go(Among among, time_point now,
                                                                    std::size_t silent_ones) const {
    places silent;
    places slow;
    for (auto each = links_.begin(); each != links_.end(); ++each) {
        const auto& [id, at] = *each;
        const bool unheard =
            at.progress == link_progress::connected && now - at.since >= hearing_time;
        const bool over = unheard || at.progress == link_progress::failed;
        if ((!over && now - at.since < handshake_time) || !among(id, at)) continue;
        (over ? silent : slow).push_back(each);
    }
    return silent.empty() ? choose(std::move(slow)) : choose(std::move(silent), silent_ones);
}

template <typename Among>
std::vector<admission_table::link_id>
admission_table::choose_of_crowd(Among of_pool, const place& newcomer,
                                 std::size_t unheard_ones) const {
    auto all = places_of(of_pool);
    if (only_fullest(all, 0) * 4 <= limits_.links) return choose_unheard(of_pool, unheard_ones);
    const auto one = choose(std::move(all));
    const auto& crowd = links_.at(one.front()).blocks[0];
    if (crowd != newcomer.blocks[0]) return one;
    return choose_unheard(
        [&](link_id id, const place& each) { return of_pool(id, each) && each.blocks[0] == crowd; },
        unheard_ones);
}

template <typename Among>
std::vector<admission_table::link_id> admission_table::choose_unheard(Among among,
                                                                      std::size_t count) const {
    return choose(places_of([&](link_id id, const place& each) {
                      return each.progress == link_progress::connected && among(id, each);
                  }),
                  count);
}

/// Leaves those of the fullest blocks of that width; returns how many each of these has.
std::size_t admission_table::only_fullest(places& left, std::size_t width) {
    std::unordered_map<boost::asio::ip::address, std::size_t> counts;
    counts.reserve(left.size());
    std::size_t most = 0;
    for (const auto& each : left)
        most = std::max(most, ++counts[each->second.blocks[width]]);
    if (counts.size() * most > left.size())
        std::erase_if(left,
                      [&](const auto& each) { return counts[each->second.blocks[width]] < most; });
    return most;
}

/// In the fullest block of these, of equally full ones in all; in the order in which they go.
std::vector<admission_table::link_id> admission_table::choose(places left, std::size_t count) {
    // Where each is alone in its block, each is so in a narrower one.
    for (std::size_t width = 0; width < 3 && only_fullest(left, width) > 1; ++width) {
    }
    count = std::min(count, left.size());
    std::partial_sort(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count), left.end(),
                      [](const auto& a, const auto& b) {
                          return std::pair(a->second.progress, a->first) <
                                 std::pair(b->second.progress, b->first);
                      });
    std::vector<link_id> found;
    for (std::size_t i = 0; i < count; ++i)
        found.push_back(left[i]->first);
    return found;
}

// ---- What is remembered of hosts

bool admission_table::is_known(const boost::asio::ip::address& host, time_point now) const {
    const auto found = known_.find(host);
    return found != known_.end() && now - found->second < known_for;
}

void admission_table::on_success(const boost::asio::ip::address& from, time_point now) {
    bound(known_, [](time_point when) { return when; });
    known_[host_of(from)] = now;
    failed_.erase(host_of(from));
}

void admission_table::on_failure(const boost::asio::ip::address& from, time_point now) {
    bound(failed_, [](const failures& each) { return each.last; });
    auto& counted = failed_[host_of(from)];
    if (now - counted.last > failures_forgotten_after) counted.count = 0;
    counted.last = now;
    ++counted.count;
}

std::chrono::milliseconds admission_table::pause(const boost::asio::ip::address& from,
                                                 time_point now) const {
    const auto host = host_of(from);
    const auto found = failed_.find(host);
    if (found == failed_.end() || is_known(host, now)) return 0ms;
    const auto& counted = found->second;
    if (now - counted.last > failures_forgotten_after || counted.count <= failures_free) return 0ms;
    return 250ms * (1U << std::min(counted.count - failures_free - 1, 4U));
}

std::chrono::milliseconds admission_table::take_handshake(const boost::asio::ip::address& from,
                                                          time_point now) {
    if (is_known(host_of(from), now)) return 0ms;
    bound(paced_, [](time_point until) { return until; });
    auto& until = paced_[block_of(from, 24, 48)];
    // Beyond the longest pause there is no more to spread.
    constexpr auto ahead_max = handshake_burst * handshake_pace + pause_max;
    until = std::min<time_point>(std::max(until, now) + handshake_pace, now + ahead_max);
    const auto wait = until - now - handshake_burst * handshake_pace;
    return std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(wait));
}

} // namespace muxsocks::server
