#include "server/udp_rules.hpp"

#include <algorithm>

namespace muxsocks::server {
namespace {

using boost::asio::ip::address_v6;
using boost::asio::ip::make_address_v4;
using boost::asio::ip::make_address_v6;
using boost::asio::ip::v4_mapped;

std::size_t slot_of(const udp_rules::endpoint& one, std::size_t slots) {
    std::size_t hash = one.port();
    const auto add = [&hash](const auto& bytes) {
        for (const auto byte : bytes)
            hash = hash * 131 + byte;
    };
    if (one.address().is_v4())
        add(one.address().to_v4().to_bytes());
    else
        add(one.address().to_v6().to_bytes());
    return (hash ^ hash >> 16) % slots;
}

/// To many at once: no rule can allow it.
bool is_for_many(const boost::asio::ip::address& address) {
    return address.is_multicast() || address.is_unspecified() ||
           (address.is_v4() && address.to_v4() == boost::asio::ip::address_v4::broadcast());
}

} // namespace

udp_rules::udp_rules(std::shared_ptr<const target_policy> policy, const udp_settings& settings,
                     own_addresses& own)
    : policy_(std::move(policy)),
      deny_ports_(settings.deny_ports),
      filter_(settings.filter),
      own_(own) {}

bool udp_rules::judge(const endpoint& other) {
    const auto port = other.port();
    const auto has = [port](const port_range& range) {
        return port >= range.first && port <= range.last;
    };
    if (port == 0 || is_for_many(other.address())) return false;
    if (std::any_of(deny_ports_.begin(), deny_ports_.end(), has)) return false;
    return !policy_->refusal(other.address(), port, own_);
}

bool udp_rules::allowed(const endpoint& other, time_point now) {
    if (!verdicts_) verdicts_ = std::make_unique<std::array<verdict, verdicts_kept>>();
    auto& known = (*verdicts_)[slot_of(other, verdicts_kept)];
    if (known.judged == time_point::min() || known.of != other || now - known.judged > age_max)
        known = {other, now, judge(other)};
    return known.allowed;
}

bool udp_rules::may_send(const endpoint& to, time_point now) { return allowed(to, now); }

void udp_rules::on_sent(const endpoint& to) {
    if (filter_ == udp_filter::any || !contacted_.insert(to.address()).second) return;
    if (contacted_.size() > contacted_max) contacted_.erase(contacted_.begin());
}

std::vector<std::uint8_t> udp_rules::contacted() const {
    std::vector<std::uint8_t> all;
    for (const auto& each : contacted_) {
        const auto bytes =
            (each.is_v4() ? make_address_v6(v4_mapped, each.to_v4()) : each.to_v6()).to_bytes();
        all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
}

void udp_rules::set_contacted(bytes_view all) {
    address_v6::bytes_type bytes;
    contacted_.clear();
    for (; all.size() >= bytes.size() && contacted_.size() < contacted_max;
         all = all.subspan(bytes.size())) {
        std::copy_n(all.begin(), bytes.size(), bytes.begin());
        const address_v6 one(bytes);
        contacted_.insert(one.is_v4_mapped()
                              ? boost::asio::ip::address(make_address_v4(v4_mapped, one))
                              : boost::asio::ip::address(one));
    }
}

bool udp_rules::may_receive(const endpoint& from, time_point now) {
    if (filter_ == udp_filter::contacted && !contacted_.contains(from.address())) return false;
    return allowed(from, now);
}

} // namespace muxsocks::server
