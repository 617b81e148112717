#pragma once

/// \file
/// The workers of a program, one a thread: what is said to all of them, and what they answer
/// together. `Worker` has a thread() that returns its link_thread. Not for other threads than the
/// one that made it, but for the posted calls, which run in the workers' threads.

#include "protocol/link/link_thread.hpp"
#include "protocol/link/stalled_search.hpp"

#include <boost/asio/post.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace muxsocks {

template <class Worker>
class worker_set {
  public:
    /// Only before they run.
    void add(std::unique_ptr<Worker> one, stalled_search& search) {
        search.enlist(one->thread());
        all_.push_back(std::move(one));
    }

    [[nodiscard]] std::size_t size() const { return all_.size(); }
    /// The first one's thread accepts, and gets the signals.
    Worker& first() { return *all_.front(); }
    Worker& operator[](std::size_t number) { return *all_[number]; }
    auto begin() const { return all_.begin(); }
    auto end() const { return all_.end(); }

    [[nodiscard]] std::vector<link_thread*> threads() const {
        std::vector<link_thread*> found;
        for (const auto& each : all_)
            found.push_back(&each->thread());
        return found;
    }

    /// `call(worker)` in each one's thread, soon.
    template <class Call>
    void on_all(Call call) {
        for (const auto& each : all_)
            asio::post(each->thread().context(), [call, at = each.get()] { call(*at); });
    }

    /// Adds up what `ask(worker)` returns in each one's thread, with +=, and calls `then(sum)` in
    /// the first one's.
    template <class Ask, class Then>
    void sum_up(Ask ask, Then then) {
        using part = decltype(ask(std::declval<Worker&>()));
        gather<part>([ask](Worker& each, auto answer) { answer(ask(each)); }, std::move(then));
    }

    /// The same for what takes a worker several rounds of its event loop: `ask(worker, answer)` has
    /// it call `answer(part)` once, in its thread.
    template <class Part, class Ask, class Then>
    void gather(Ask ask, Then then) {
        struct state {
            Part sum{};
            std::size_t left;
            Then then;
        };
        auto all = std::make_shared<state>(state{{}, all_.size(), std::move(then)});
        on_all([this, ask, all](Worker& each) {
            ask(each, [this, all](Part part) {
                asio::post(first().thread().context(), [all, part = std::move(part)]() mutable {
                    all->sum += std::move(part);
                    if (--all->left == 0) all->then(std::move(all->sum));
                });
            });
        });
    }

    /// Calls `then()` in the first one's thread if each of them is idle() when it is asked.
    template <class Then>
    void if_all_idle(Then then) {
        sum_up([](Worker& each) { return each.idle() ? 0 : 1; },
               [then = std::move(then)](int busy) {
                   if (busy == 0) then();
               });
    }

  private:
    std::vector<std::unique_ptr<Worker>> all_;
};

} // namespace muxsocks
