#include "benchmarks/load/bulk_streams.hpp"
#include "benchmarks/load/counters_client.hpp"
#include "benchmarks/load/works.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

constexpr std::uint8_t echoed_byte = 'e';

/// How long what was begun in the window is waited for after it. What is still under way then
/// counts with the time that it has taken so far, so that a proxy gains nothing by not answering.
constexpr auto grace = 10s;

/// Types at a steady pace whether the last byte has come back or not, as people do.
class key_stream final : public stream {
  public:
    key_stream(event_loop& loop, const route& way, outcome& ends)
        : stream(loop, way), ends_(ends) {}

    void type(clock::time_point now) {
        if (current() != state::open) return;
        sent_.push_back(now);
        send_small(&echoed_byte, 1);
    }

    /// Keys typed before this are forgotten, whether or not they are back.
    void begin_window(clock::time_point now) {
        window_ = now;
        times_.clear();
    }

    bool waits() const { return current() == state::open && !sent_.empty(); }

    /// Round trips of the window in seconds; of those that are not back, the time until `now`.
    std::vector<float> times(clock::time_point now) const {
        std::vector<float> all = times_;
        for (const auto sent : sent_)
            if (sent >= window_) all.push_back(static_cast<float>(seconds_between(sent, now)));
        return all;
    }

  protected:
    void on_open() override {}

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(64);
        if (!bytes) return;
        const auto now = clock::now();
        for (const std::uint8_t byte : *bytes) {
            if (byte != echoed_byte || sent_.empty()) {
                ++ends_.wrong;
                finish();
                return;
            }
            if (sent_.front() >= window_)
                times_.push_back(static_cast<float>(seconds_between(sent_.front(), now)));
            sent_.pop_front();
        }
    }

    void on_end() override {
        if (!failure().empty()) ends_.add_failure(failure());
    }

  private:
    outcome& ends_;
    std::deque<clock::time_point> sent_;
    std::vector<float> times_;
    clock::time_point window_ = clock::time_point::max();
};

/// Opens, echoes a byte and closes, again and again. A connection counts with all its time if any
/// of that is in the window: one that takes longer than the window is not to be missed.
class visitor final : public stream {
  public:
    visitor(event_loop& loop, const route& way, outcome& ends) : stream(loop, way), ends_(ends) {}

    /// Begins again if the last connection is through.
    void visit(clock::time_point now) {
        if (under_way()) return;
        begun_ = now;
        start();
    }

    void begin_window() { times_.clear(); }

    bool under_way() const { return current() != state::idle && current() != state::ended; }

    std::vector<float> times(clock::time_point now) const {
        std::vector<float> all = times_;
        if (under_way()) all.push_back(static_cast<float>(seconds_between(begun_, now)));
        return all;
    }

  protected:
    void on_open() override { send_small(&echoed_byte, 1); }

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(64);
        if (!bytes) return;
        if (bytes->size() != 1 || bytes->front() != echoed_byte) ++ends_.wrong;
        times_.push_back(static_cast<float>(seconds_between(begun_, clock::now())));
        finish();
    }

    void on_end() override {
        if (!failure().empty()) ends_.add_failure(failure());
    }

  private:
    outcome& ends_;
    std::vector<float> times_;
    clock::time_point begun_;
};

/// Both on a thread of their own: they wait for the proxy and the network, not for this program's
/// bulk streams.
class user_thread {
  public:
    explicit user_thread(const options& what) : what_(what) {}

    void start() {
        thread_ = std::jthread([this] {
            try {
                run();
            } catch (...) {
                error_ = std::current_exception();
            }
            finished_ = true;
        });
    }

    enum class phase { warming_up, recording, waiting, over };
    void enter(phase next) { phase_ = next; }
    /// After waiting: whether nothing is under way any more.
    bool finished() const { return finished_; }

    void join() {
        thread_.join();
        if (error_) std::rethrow_exception(error_);
    }

    std::vector<float> keys;        ///< in seconds; valid after join()
    std::vector<float> connections; ///< likewise
    outcome ends;

  private:
    void run() {
        event_loop loop;
        key_stream typist(loop, what_.way, ends);
        visitor guest(loop, what_.way, ends);
        typist.start();
        auto next_key = clock::now();
        bool recording = false;
        while (phase_ != phase::over && ends.failed == 0 && ends.wrong == 0) {
            const auto now = clock::now();
            if (phase_ == phase::recording && !recording) {
                recording = true;
                typist.begin_window(now);
                guest.begin_window();
            }
            if (phase_ == phase::waiting && !typist.waits() && !guest.under_way()) break;
            if (phase_ != phase::waiting) {
                guest.visit(now);
                if (now >= next_key) {
                    typist.type(now);
                    next_key = std::max(next_key + what_.interval, now);
                }
            }
            const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next_key - clock::now());
            loop.turn(std::clamp<std::chrono::milliseconds>(wait, 0ms, 10ms));
        }
        const auto now = clock::now();
        keys = typist.times(now);
        connections = guest.times(now);
    }

    const options& what_;
    std::atomic<phase> phase_{phase::warming_up};
    std::atomic<bool> finished_{false};
    std::exception_ptr error_;
    std::jthread thread_;
};

} // namespace

json measure_interactive(const options& what, outcome& ends) {
    event_loop loop;
    counters_client counters(what.control, what.way.settings);
    const target_counters before = counters.read();
    bulk_streams bulk(loop, what.way, what.towards, what.beside_bulk, 0);
    usage_meter meter(what);
    user_thread user(what);
    json result;

    if (bulk.open(clock::now() + what.time_limit)) {
        const auto run_until = [&](clock::time_point deadline) {
            if (what.beside_bulk == 0) std::this_thread::sleep_until(deadline);
            bulk.run_until(deadline);
        };
        bulk.begin();
        user.start();
        run_until(clock::now() + what.from);
        meter.begin();
        const std::uint64_t bulk_before = bulk.bytes();
        user.enter(user_thread::phase::recording);
        run_until(clock::now() + what.duration);
        user.enter(user_thread::phase::waiting);
        const auto bulk_bytes = static_cast<double>(bulk.bytes() - bulk_before);
        meter.end();
        // The bulk goes on meanwhile: nobody is answered sooner because the measuring is over.
        const auto limit = clock::now() + grace;
        while (!user.finished() && clock::now() < limit)
            run_until(clock::now() + 20ms);
        user.enter(user_thread::phase::over);
        user.join();
        bulk.stop();
        bulk.run_until_ended(clock::now() + what.time_limit);

        ends = user.ends;
        result["keys"] = user.keys.size();
        result["key"] = percentiles_ms(user.keys);
        result["connections"] = user.connections.size();
        result["time_to_echo"] = percentiles_ms(user.connections);
        result["bulk_mb_per_second"] = bulk_bytes / 1e6 / meter.elapsed_seconds();
        meter.write_to(result);
        if (user.keys.empty() && ends.failed == 0) ends.add_failure("not one key was sent");
    }
    bulk.add_to(ends);
    ends.wrong += counters.read().faults - before.faults;
    return result;
}

} // namespace muxsocks::load
