#include "tests/tools/wan/loop.hpp"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace muxsocks::tools {
namespace {

/// Packets that are due within so short a time are delivered in one turn: at 500 Mbit/s one is due
/// every 24 us, and to sleep and wake for each of them would cost more than to carry it.
constexpr duration grain = std::chrono::microseconds(100);

/// Packets read from one device before the other one has its turn.
constexpr int packets_a_turn = 128;

int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
    return result;
}

sigset_t watched_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGUSR1})
        sigaddset(&set, number);
    return set;
}

int open_signals() {
    const sigset_t set = watched_signals();
    checked(::sigprocmask(SIG_BLOCK, &set, nullptr), "sigprocmask");
    return checked(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), "signalfd");
}

} // namespace

wan_loop::wan_loop(wan& carried, wan_commands& commands, std::array<tun_device*, 2> devices,
                   bool read_standard_input)
    : wan_(carried),
      commands_(commands),
      devices_(devices),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(
          checked(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")),
      signals_(open_signals()) {
    for (const int descriptor :
         {devices_[0]->descriptor(), devices_[1]->descriptor(), timer_, signals_})
        watch(descriptor);
    if (read_standard_input) watch(STDIN_FILENO);
}

wan_loop::~wan_loop() {
    for (const int descriptor : {signals_, timer_, epoll_})
        ::close(descriptor);
}

void wan_loop::watch(int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
}

void wan_loop::run() {
    std::array<epoll_event, 8> events{};
    while (!ended_ && !commands_.quit()) {
        const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
        if (count < 0 && errno != EINTR) checked(count, "epoll_wait");
        for (int i = 0; i < count; ++i) {
            const int ready = events[static_cast<std::size_t>(i)].data.fd;
            if (ready == devices_[0]->descriptor()) take_packets(side::near);
            if (ready == devices_[1]->descriptor()) take_packets(side::far);
            if (ready == signals_) take_signal();
            if (ready == STDIN_FILENO) take_lines();
            if (ready == timer_) {
                std::uint64_t expirations = 0;
                [[maybe_unused]] const auto size = ::read(timer_, &expirations, sizeof expirations);
                armed_for_ = time_point::max();
            }
        }
        deliver();
        arm();
    }
}

void wan_loop::take_packets(side where) {
    tun_device& device = *devices_[index(where)];
    const time_point now = clock::now();
    packet_ptr next = wan_.pool().take();
    for (int count = 0; count < packets_a_turn && device.read(*next); ++count) {
        wan_.on_packet(where, std::move(next), now);
        next = wan_.pool().take();
    }
    wan_.pool().give_back(std::move(next));
}

void wan_loop::deliver() {
    const time_point now = clock::now();
    for (const side where : both_sides) {
        while (packet_ptr due = wan_.next_for(where, now)) {
            if (!devices_[index(where)]->write(*due)) ++not_taken_;
            wan_.pool().give_back(std::move(due));
        }
    }
}

void wan_loop::arm() {
    const auto next = wan_.next_time();
    if (!next) return; // a timer that is armed for nothing wakes once
    const time_point wanted = std::max(*next, clock::now() + grain);
    if (armed_for_ <= wanted) return; // it wakes early enough, and arms itself again
    armed_for_ = wanted;
    const auto since_start = wanted.time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_start);
    itimerspec when{};
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = std::chrono::nanoseconds(since_start - seconds).count();
    checked(::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr), "timerfd_settime");
}

void wan_loop::take_signal() {
    signalfd_siginfo what{};
    while (::read(signals_, &what, sizeof what) == sizeof what) {
        if (what.ssi_signo == SIGUSR1)
            std::cout << statistics() << std::endl;
        else
            ended_ = true;
    }
}

void wan_loop::take_lines() {
    std::array<char, 4096> bytes{};
    const ssize_t size = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN)) {
        ended_ = true;
        return;
    }
    if (size > 0) input_.append(bytes.data(), static_cast<std::size_t>(size));
    for (auto end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
        const std::string line = input_.substr(0, end);
        input_.erase(0, end + 1);
        std::cout << (line == "stats" ? statistics() : commands_.execute(line, clock::now()))
                  << std::endl;
    }
}

std::string wan_loop::statistics() const {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    std::string text = wan_.statistics();
    text.pop_back();
    return text + ", \"not_taken\": " + std::to_string(not_taken_) +
           ", \"cpu_seconds\": " + std::to_string(seconds(used.ru_utime) + seconds(used.ru_stime)) +
           "}";
}

} // namespace muxsocks::tools
