#include "protocol/program/stopped_threads.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks {

stopped_threads::stopped_threads(std::span<asio::io_context* const> contexts,
                                 std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    for (const auto context : contexts) {
        all_.push_back(std::make_shared<place>());
        asio::post(*context, [at = all_.back()] { at->stand_still(); });
    }
    for (const auto& each : all_) {
        std::unique_lock lock(each->mutex);
        if (!each->changed.wait_until(lock, until, [&] { return each->here; })) all_here_ = false;
    }
}

stopped_threads::~stopped_threads() {
    for (const auto& each : all_) {
        const std::lock_guard lock(each->mutex);
        each->over = true;
        each->changed.notify_all();
    }
}

void stopped_threads::place::stand_still() {
    std::unique_lock lock(mutex);
    here = true;
    changed.notify_all();
    changed.wait(lock, [&] { return over; });
}

} // namespace muxsocks
