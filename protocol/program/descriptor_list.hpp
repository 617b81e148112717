#pragma once

/// \file
/// Descriptors on their way: those that nobody has taken are closed.

#include "protocol/link/loop/socket_ends.hpp"

#include <boost/asio/post.hpp>

#include <unistd.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace muxsocks {

class descriptor_list {
  public:
    descriptor_list() = default;
    descriptor_list(descriptor_list&& other) noexcept
        : all_(std::exchange(other.all_, {})), taken_(std::exchange(other.taken_, 0)) {}
    descriptor_list& operator=(descriptor_list&& other) noexcept {
        std::swap(all_, other.all_);
        std::swap(taken_, other.taken_);
        return *this;
    }
    ~descriptor_list() { close(); }

    /// Closes what is left, so that peers see RST.
    void reset() {
        for (auto i = taken_; i < all_.size(); ++i)
            make_close_a_reset(all_[i]);
        close();
    }

    /// -1 keeps the place of one that is lost.
    void add(int descriptor) { all_.push_back(descriptor); }
    [[nodiscard]] std::size_t size() const { return all_.size() - taken_; }
    /// The next one, the caller's from here on; -1 when there is none.
    int take() { return taken_ < all_.size() ? all_[taken_++] : -1; }

  private:
    void close() {
        for (; taken_ < all_.size(); ++taken_)
            if (all_[taken_] >= 0) ::close(all_[taken_]);
    }

    std::vector<int> all_;
    std::size_t taken_ = 0;
};

/// For sockets that have come from another process and with which nothing can go on here: whoever
/// closes them last, their peers see RST. Only when the thread runs: until then they may be the
/// other process's after all.
inline void reset_when_running(asio::io_context& context, descriptor_list left) {
    if (left.size() == 0) return;
    const auto kept = std::make_shared<descriptor_list>(std::move(left));
    asio::post(context, [kept] { kept->reset(); });
}

} // namespace muxsocks
