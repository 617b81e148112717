// Very many sessions: all lost in one moment and all back as soon as it goes, or lost for good. In
// groups there may be more of them than files: what is not the last group is lost beforehand, and
// again when it has come back.

#include "tests/attack/attack.hpp"

#include <algorithm>

namespace muxsocks::attack {
namespace {

constexpr std::size_t at_once = 128;
/// For the server to notice that a group is lost, so that it has files for the next one.
constexpr std::chrono::seconds until_closed{2};

class outage {
  public:
    explicit outage(run& in) : in_(in) {}

    awaitable<void> happen() {
        std::size_t lost = 0; // Of all_, from its front.
        for (std::size_t n = 0; n < in_.args.sessions && !in_.over(); ++n) {
            co_await begin(log_in(n));
            if ((n + 1) % group() != 0 || n + 1 == in_.args.sessions) continue;
            co_await wait_for_all();
            cut(lost, all_.size());
            lost = all_.size();
            co_await pause(in_.io, until_closed);
        }
        co_await wait_for_all();
        in_.counts["sessions"] = static_cast<double>(all_.size());
        in_.counts["sessions lost at once"] = static_cast<double>(all_.size() - lost);
        in_.tell("up");
        co_await pause(in_.io, std::chrono::seconds(1));
        in_.tell("lost");
        cut(lost, all_.size());
        auto began = clock::now();
        std::chrono::duration<double> took{};
        for (std::size_t n = 0; n < all_.size() && !in_.over(); n += group()) {
            const auto end = std::min(n + group(), all_.size());
            for (auto each = n; each < end; ++each)
                co_await begin(come_back(all_[each]));
            co_await wait_for_all();
            took += clock::now() - began;
            if (end == all_.size()) break;
            cut(n, end);
            co_await pause(in_.io, until_closed);
            began = clock::now();
        }
        in_.counts["all back after, s"] = took.count();
        in_.tell("back");
        co_await pause(in_.io, std::chrono::seconds(1));
    }

    awaitable<void> abandon() {
        for (std::size_t n = 0; n < in_.args.sessions && !in_.over(); ++n) {
            co_await begin(log_in(n));
            if ((n + 1) % group() == 0) co_await cut_all();
        }
        co_await cut_all();
        in_.tell("abandoned");
    }

  private:
    std::size_t group() const {
        return in_.args.count == 0 ? std::max<std::size_t>(in_.args.sessions, 1) : in_.args.count;
    }
    void cut(std::size_t from, std::size_t to) {
        for (auto each = from; each < to; ++each)
            all_[each]->cut();
    }
    awaitable<void> cut_all() {
        co_await wait_for_all();
        in_.counts["sessions"] += static_cast<double>(all_.size());
        cut(0, all_.size());
        all_.clear();
    }
    awaitable<void> begin(awaitable<void> what) {
        start(in_, std::move(what));
        while (under_way_ >= at_once)
            co_await pause(in_.io, std::chrono::microseconds(200));
    }
    awaitable<void> wait_for_all() {
        while (under_way_ > 0)
            co_await pause(in_.io, std::chrono::milliseconds(1));
    }

    awaitable<void> log_in(std::size_t n) {
        ++under_way_;
        const auto made = std::make_shared<session>(in_.io, in_.server(n), in_.user(n));
        const auto begun = clock::now();
        try {
            co_await made->log_in();
            in_.measured["logins"].succeed(clock::now() - begun);
            made->on_end = [this](const std::string& why) { in_.measured["ends"].fail(why); };
            all_.push_back(made);
        } catch (const std::exception& error) {
            in_.measured["logins"].fail(error.what());
        }
        --under_way_;
    }

    awaitable<void> come_back(std::shared_ptr<session> one) {
        ++under_way_;
        const auto begun = clock::now();
        try {
            co_await one->come_back(1);
            in_.measured["returns"].succeed(clock::now() - begun);
        } catch (const std::exception& error) {
            in_.measured["returns"].fail(error.what());
        }
        --under_way_;
    }

    run& in_;
    std::vector<std::shared_ptr<session>> all_;
    std::size_t under_way_ = 0;
};

} // namespace

awaitable<void> measure_outage(run& in) {
    outage all(in);
    co_await all.happen();
}

awaitable<void> abandon_sessions(run& in) {
    outage all(in);
    co_await all.abandon();
}

} // namespace muxsocks::attack
