#include "benchmarks/load/event_loop.hpp"

#include <cerrno>

namespace muxsocks::load {

namespace {

/// As large as one recv should be: it holds a chunk, and half of it still fits a small second-level
/// cache together with the content block.
constexpr std::size_t shared_buffer_bytes = 256 * 1024;

/// Events taken by one epoll_wait.
constexpr std::size_t ready_max = 256;

} // namespace

event_loop::event_loop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), ready_(ready_max), buffer_(shared_buffer_bytes) {
    if (!epoll_) throw_errno("epoll_create1");
}

void event_loop::watch(int socket, std::uint32_t events, event_handler& handler) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event) != 0) throw_errno("epoll_ctl");
}

void event_loop::change(int socket, std::uint32_t events, event_handler& handler) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket, &event) != 0) throw_errno("epoll_ctl");
}

void event_loop::forget(int socket) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket, nullptr); }

void event_loop::turn(std::chrono::milliseconds wait) {
    const int count = epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()),
                                 static_cast<int>(wait.count()));
    if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
    for (int i = 0; i < count; ++i) {
        const auto& event = ready_[static_cast<std::size_t>(i)];
        static_cast<event_handler*>(event.data.ptr)->on_ready(event.events);
    }
}

} // namespace muxsocks::load
