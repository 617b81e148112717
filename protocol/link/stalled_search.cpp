#include "protocol/link/stalled_search.hpp"

#include <boost/asio/post.hpp>

#include <mutex>

namespace muxsocks {
namespace {

/// A stream stalls by standing still for seconds: there is nothing new to find sooner.
constexpr std::chrono::milliseconds rest_time{250};

} // namespace

struct stalled_search::finding {
    std::mutex mutex;
    std::size_t threads_left;
    stalled_memory best; ///< So far.
    link_thread* where = nullptr;
};

bool stalled_search::begin() {
    if (under_way_.exchange(true)) return true;
    if (std::chrono::steady_clock::now() < rest_until_) {
        under_way_ = false;
        return false;
    }
    const auto shared = std::make_shared<finding>();
    shared->threads_left = threads_.size();
    for (const auto each : threads_)
        asio::post(each->context(), [this, shared, each] {
            const auto here = each->most_stalled();
            const std::lock_guard lock(shared->mutex);
            if (here > shared->best) {
                shared->best = here;
                shared->where = each;
            }
            if (--shared->threads_left == 0) end(*shared);
        });
    return true;
}

void stalled_search::end(const finding& of) {
    if (of.where) {
        asio::post(of.where->context(), [this, where = of.where] {
            where->shed_most_stalled();
            under_way_ = false;
        });
    } else {
        rest_until_ = std::chrono::steady_clock::now() + rest_time;
        under_way_ = false;
    }
}

} // namespace muxsocks
