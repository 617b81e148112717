#pragma once

/// \file
/// Threads of event loops that stand still, all at a time, while another thread does something with
/// what is theirs. Nothing else happens there meanwhile, so that all of it can also not have been.
/// Nothing is done in the threads themselves: on a busy machine each change of threads is a wait.

#include "protocol/link/loop/asio.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace muxsocks {

class stopped_threads {
  public:
    /// Waits until all stand still, for `patience` at most; whoever comes later goes on at once.
    stopped_threads(std::span<asio::io_context* const> contexts,
                    std::chrono::milliseconds patience);
    /// They go on.
    ~stopped_threads();
    stopped_threads(const stopped_threads&) = delete;
    stopped_threads& operator=(const stopped_threads&) = delete;

    /// Whether all have come: then what is theirs is the caller's.
    [[nodiscard]] bool all_here() const { return all_here_; }
    [[nodiscard]] std::size_t size() const { return all_.size(); }

  private:
    struct place {
        std::mutex mutex;
        std::condition_variable changed;
        bool here = false;
        bool over = false;

        void stand_still();
    };

    std::vector<std::shared_ptr<place>> all_;
    bool all_here_ = true;
};

} // namespace muxsocks
