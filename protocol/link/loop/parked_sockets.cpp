#include "protocol/link/loop/parked_sockets.hpp"

#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace muxsocks {
namespace {

constexpr std::size_t looks_min = 64;
constexpr std::size_t looks_max = 1'024; ///< Less than a millisecond.
constexpr std::size_t parts_of_pass = 4;

} // namespace

void parked_sockets::add(parked_socket& one) {
    one.since_ = deadline::clock::now();
    sockets_.push_back(one);
    if (timer_.is_set() && pause_ == pause_min) return;
    pause_ = pause_min;
    timer_.expires_after(pause_);
}

void parked_sockets::on_time() {
    if (left_of_pass_ == 0) {
        left_of_pass_ = sockets_.size();
        if (!std::exchange(changed_, false)) pause_ = std::min(pause_ * 2, pause_max);
    }
    auto looks = std::clamp(sockets_.size() / parts_of_pass, looks_min, looks_max);
    looks = std::min({looks, left_of_pass_, sockets_.size()});
    left_of_pass_ = sockets_.size() > looks ? left_of_pass_ - looks : 0;
    const auto parked_before = deadline::clock::now() - patience;
    for (; looks > 0 && !sockets_.empty(); --looks) {
        auto& one = sockets_.front();
        sockets_.splice(sockets_.end(), sockets_, sockets_.begin());
        if (one.since_ > parked_before || one.look()) changed_ = true;
    }
    if (sockets_.empty()) {
        left_of_pass_ = 0;
        pause_ = pause_min;
        return;
    }
    timer_.expires_after(pause_);
}

std::size_t kernel_memory_of(int descriptor) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
    socklen_t size = sizeof values;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0) return 0;
    return values[SK_MEMINFO_RMEM_ALLOC];
}

} // namespace muxsocks
