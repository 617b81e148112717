#include "benchmarks/load/datagram_target.hpp"

#include <algorithm>
#include <cstring>

#include <poll.h>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// How often flows are looked at while there are any.
constexpr auto flow_wait = 1ms;

} // namespace

datagram_target::datagram_target(const endpoint& local) : socket_(datagram_socket(local.family())) {
    if (bind(socket_.get(), local.address(), local.size()) != 0) throw_errno("bind");
}

void datagram_target::turn(std::chrono::milliseconds wait) {
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (!flows_.empty()) wait = std::min<std::chrono::milliseconds>(wait, flow_wait);
    poll(&waiting, 1, static_cast<int>(wait.count()));
    const auto count = received_.receive(socket_.get());
    for (std::size_t i = 0; i < count; ++i)
        serve(i);
    received_.flush_kept(socket_.get());
    send_flows();
}

void datagram_target::serve(std::size_t i) {
    const auto bytes = received_.bytes(i);
    if (bytes.size() != sizeof(flow_ack) ||
        bytes.front() != static_cast<std::uint8_t>(datagram_kind::flow))
        return received_.keep(i);
    flow_ack ack;
    std::memcpy(&ack, bytes.data(), sizeof ack);
    const auto& from = received_.from(i);
    std::string key(reinterpret_cast<const char*>(&from),
                    from.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    key.append(reinterpret_cast<const char*>(&ack.id), sizeof ack.id);
    auto found = flows_.find(key);
    if (found == flows_.end()) {
        if (ack.over || ack.next != 0) return; // of one that is over
        found = flows_.emplace(key, flow{flow_sender(ack), from}).first;
    }
    found->second.sender.on_ack(ack, std::chrono::steady_clock::now());
}

void datagram_target::send_flows() {
    const auto now = std::chrono::steady_clock::now();
    for (auto one = flows_.begin(); one != flows_.end();) {
        auto& [sender, to] = one->second;
        while (const auto packet = sender.next(now)) {
            const auto place = sent_.room().first(flow_packet_bytes);
            std::memcpy(place.data(), &*packet, sizeof *packet);
            std::memset(place.data() + sizeof *packet, 0, place.size() - sizeof *packet);
            sent_.used(place.size(), &to);
            if (sent_.full()) sent_.flush(socket_.get());
        }
        one = sender.over(now) ? flows_.erase(one) : std::next(one);
    }
    sent_.flush(socket_.get());
}

} // namespace muxsocks::load
