#include "server/admission.hpp"

#include "server/networks.hpp"

#include <algorithm>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto forget_after = 5min;
constexpr std::size_t remembered_max = 10'000;

} // namespace

boost::asio::ip::address host_of(const boost::asio::ip::address& address) {
    if (!address.is_v6()) return address;
    auto bytes = address.to_v6().to_bytes();
    std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
    return boost::asio::ip::address_v6(bytes);
}

admission::ticket admission::enter(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    if (links_ >= limits_.unauthenticated) return {};
    const bool counted = !exempt_locked(address);
    if (counted) {
        auto& count = by_address_[host_of(address)];
        if (count >= limits_.unauthenticated_per_address) return {};
        ++count;
    }
    ++links_;
    return {shared_from_this(), host_of(address), counted};
}

void admission::leave(const boost::asio::ip::address& address, bool counted) {
    const std::lock_guard lock(mutex_);
    --links_;
    if (!counted) return;
    const auto found = by_address_.find(address);
    if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
}

std::chrono::milliseconds admission::on_failure(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (failed_.size() >= remembered_max)
        std::erase_if(failed_, [&](const auto& each) { return now - each.second.last > 1min; });
    if (failed_.size() >= remembered_max) failed_.clear();
    auto& known = failed_[host_of(address)];
    if (now - known.last > forget_after) known.count = 0;
    known.last = now;
    const auto steps = std::min(known.count++, 4U);
    return exempt_locked(address) ? 0ms : 250ms * (1U << steps);
}

void admission::on_success(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    failed_.erase(host_of(address));
}

void admission::set_limits(limit_settings limits) {
    const std::lock_guard lock(mutex_);
    limits_ = std::move(limits);
}

bool admission::exempt(const boost::asio::ip::address& address) const {
    const std::lock_guard lock(mutex_);
    return exempt_locked(address);
}

bool admission::exempt_locked(const boost::asio::ip::address& address) const {
    return in_networks(limits_.exempt, address);
}

} // namespace muxsocks::server
