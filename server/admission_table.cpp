#include "server/admission_table.hpp"

#include <algorithm>
#include <array>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto known_for = 24h;
constexpr auto failures_forgotten_after = 5min;
constexpr unsigned failures_free = 3;
constexpr auto handshake_time = 2s;
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

admission_table::entry admission_table::enter(const boost::asio::ip::address& from, bool exempt,
                                              time_point now) {
    const auto id = ++last_id_;
    const auto host = host_of(from);
    links_.emplace(id,
                   place{from, host, now, link_progress::connected, is_known(host, now), exempt});
    return make_room(id, now);
}

admission_table::entry admission_table::move_to(link_id id, const boost::asio::ip::address& from,
                                                bool exempt, time_point now) {
    const auto found = links_.find(id);
    // It may have lost its place before.
    if (found == links_.end()) return {id, {}};
    auto& moved = found->second;
    moved.from = from;
    moved.host = host_of(from);
    moved.known = is_known(moved.host, now);
    moved.exempt = exempt;
    return make_room(id, now);
}

void admission_table::on_progress(link_id id, link_progress to) {
    const auto found = links_.find(id);
    if (found != links_.end()) found->second.progress = std::max(found->second.progress, to);
}

/// Of its host first, then of all that share the places.
admission_table::entry admission_table::make_room(link_id for_whom, time_point now) {
    entry made{for_whom, {}};
    const auto newcomer = links_.at(for_whom);
    const auto of_host = [&](const place& each) {
        return !each.exempt && each.host == newcomer.host;
    };
    const auto of_pool = [&](const place& each) { return each.known == newcomer.known; };
    const auto count = [&](auto among) {
        return static_cast<std::size_t>(std::count_if(
            links_.begin(), links_.end(), [&](const auto& each) { return among(each.second); }));
    };
    const auto others = [&](auto among) {
        return [=](link_id id, const place& each) { return id != for_whom && among(each); };
    };
    const auto let_go = [&](std::optional<link_id> one) {
        if (one) {
            made.must_go.push_back(*one);
            links_.erase(*one);
        } else {
            links_.erase(for_whom);
            made.id = 0;
        }
        return one.has_value();
    };
    if (!newcomer.exempt)
        while (count(of_host) > limits_.links_per_host)
            if (!let_go(choose_to_go(others(of_host), now))) return made;
    while (count(of_pool) > limits_.links) {
        auto one = choose_to_go(others(of_pool), now);
        if (!one) one = choose_of_crowd(newcomer);
        if (!let_go(one)) return made;
    }
    return made;
}

template <typename Among>
std::optional<admission_table::link_id> admission_table::choose_to_go(Among among,
                                                                      time_point now) const {
    const auto silent = choose([&](link_id id, const place& each) {
        return among(id, each) && each.progress == link_progress::connected;
    });
    if (silent) return silent;
    return choose([&](link_id id, const place& each) {
        return among(id, each) && now - each.since >= handshake_time;
    });
}

std::optional<admission_table::link_id>
admission_table::choose_of_crowd(const place& newcomer) const {
    const auto wide = [](const place& of) { return block_of(of.from, 24, 48); };
    const auto of_pool = [&](link_id, const place& each) { return each.known == newcomer.known; };
    const auto one = choose(of_pool);
    if (!one) return {};
    const auto crowd = wide(links_.at(*one));
    const auto size = std::count_if(links_.begin(), links_.end(), [&](const auto& each) {
        return of_pool(each.first, each.second) && wide(each.second) == crowd;
    });
    if (crowd == wide(newcomer) || static_cast<std::size_t>(size) * 4 <= limits_.links) return {};
    return one;
}

template <typename Among>
std::optional<admission_table::link_id> admission_table::choose(Among among) const {
    std::vector<links::const_iterator> left;
    for (auto each = links_.begin(); each != links_.end(); ++each)
        if (among(each->first, each->second)) left.push_back(each);
    if (left.empty()) return {};
    constexpr std::array<std::array<unsigned, 2>, 3> widths{{{24, 48}, {32, 56}, {32, 64}}};
    for (const auto& [v4, v6] : widths) {
        std::map<boost::asio::ip::address, std::size_t> counts;
        for (const auto& each : left)
            ++counts[block_of(each->second.from, v4, v6)];
        std::size_t most = 0;
        for (const auto& [block, count] : counts)
            most = std::max(most, count);
        std::erase_if(left, [&, v4 = v4, v6 = v6](const auto& each) {
            return counts[block_of(each->second.from, v4, v6)] < most;
        });
    }
    // Of several the oldest, since `left` is in their order.
    return (*std::min_element(left.begin(), left.end(),
                              [](const auto& a, const auto& b) {
                                  return a->second.progress < b->second.progress;
                              }))
        ->first;
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

} // namespace muxsocks::server
