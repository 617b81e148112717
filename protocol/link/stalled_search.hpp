#pragma once

/// \file
/// When the memory of the process is used up: looks through the sessions of all threads for the
/// stream that holds most unread bytes among those that have not moved for 5 seconds, and has its
/// session reset it, so that no session pays for what another one hoards. Each thread looks through
/// its own sessions, in a handler of its own; threads share no more than what each has found.

#include "protocol/link/link_thread.hpp"

namespace muxsocks {

class stalled_search {
  public:
    /// Each thread, before the first begin(). Outlives what the threads run.
    void enlist(link_thread& one) { threads_.push_back(&one); }

    /// Whether a search is under way, so that memory may be coming: begins one if there is none.
    /// False for a moment after a search that has found nothing. Any thread calls it.
    bool begin();
    bool under_way() const { return under_way_.load(std::memory_order_relaxed); }

  private:
    struct finding;
    void end(const finding& of);

    std::vector<link_thread*> threads_;
    std::atomic<bool> under_way_{false};
    std::chrono::steady_clock::time_point rest_until_{}; ///< Of whoever has set under_way_.
};

} // namespace muxsocks
