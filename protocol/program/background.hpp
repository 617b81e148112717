#pragma once

/// \file
/// A thread for what takes its time and needs nothing but values: it begins with the first piece of
/// work, does one after another, and what has not been begun at the end is not done.

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <optional>
#include <utility>

namespace muxsocks {

class background {
  public:
    template <class Work>
    void run(Work work) {
        if (!thread_) thread_.emplace(1);
        boost::asio::post(*thread_, std::move(work));
    }

  private:
    std::optional<boost::asio::thread_pool> thread_;
};

} // namespace muxsocks
