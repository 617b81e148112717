#pragma once

/// \file
/// One direction of a user's rate, shared by its sessions in all threads, in slabs of some
/// milliseconds each. Who waits says for how many streams; each waiting part has a claim to what
/// the rate gives while it waits, by its number of streams, so that streams are served alike,
/// whatever their sessions and threads. What is not claimed is kept for a moment, and shared out by
/// the same numbers. Atomic, and touched a hundred times a second; free of clocks.

#include "protocol/flow_control.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

namespace muxsocks::server {

class shared_rate {
  public:
    /// What nobody took is kept for so long, and may go at once then.
    static constexpr duration burst{std::chrono::milliseconds(200)};

    /// 0: no bound.
    void set(std::uint64_t bytes_per_second) { rate_.store(bytes_per_second, order); }
    [[nodiscard]] std::uint64_t bytes_per_second() const { return rate_.load(order); }
    [[nodiscard]] std::int64_t bytes_in(duration time) const {
        const auto rate = static_cast<std::int64_t>(bytes_per_second());
        return rate * std::min(time, burst).count() / second;
    }

    /// There are so many streams more that wait for their part of it, or fewer.
    void change_waiting(std::int64_t by) { waiting_.fetch_add(by, order); }
    [[nodiscard]] std::int64_t waiting() const { return waiting_.load(order); }

    /// Takes what `streams` may have that have had nothing for `waited`; perhaps nothing.
    std::int64_t claim(instant now, duration waited, std::int64_t streams) {
        fill(now.time_since_epoch().count());
        const auto all = std::max({waiting(), streams, std::int64_t{1}});
        const auto most_kept = bytes_in(burst);
        auto left = left_.load(order);
        for (;;) {
            // Half of it is for who comes a little late.
            const auto spare = std::max<std::int64_t>(0, left - most_kept / 2);
            const auto due = static_cast<double>(bytes_in(waited) + spare) *
                             static_cast<double>(streams) / static_cast<double>(all);
            const auto part = std::min(static_cast<std::int64_t>(due), left);
            if (part <= 0) return 0;
            if (left_.compare_exchange_weak(left, left - part, order)) return part;
        }
    }

  private:
    static constexpr auto order = std::memory_order_relaxed;
    static constexpr std::int64_t second = 1'000'000'000;

    void fill(std::int64_t now) {
        const auto rate = static_cast<std::int64_t>(bytes_per_second());
        auto before = filled_.load(order);
        // The difference is no overflow: time begins at 0.
        if (rate == 0 || now <= before) return;
        const auto time = std::min(now - before, burst.count());
        const auto bytes = rate * time / second;
        if (bytes == 0) return;
        // To the nanosecond of the last whole byte.
        const auto until = time == burst.count() ? now : before + bytes * second / rate;
        if (!filled_.compare_exchange_strong(before, until, order)) return; // Another has done it.
        auto left = left_.load(order);
        while (!left_.compare_exchange_weak(left, std::min(left + bytes, bytes_in(burst)), order)) {
        }
    }

    std::atomic<std::uint64_t> rate_{0};
    std::atomic<std::int64_t> filled_{-burst.count()}; ///< Nanoseconds.
    std::atomic<std::int64_t> left_{0};
    std::atomic<std::int64_t> waiting_{0};
};

} // namespace muxsocks::server
