#pragma once

/// \file
/// Descriptors on their way: those that nobody has taken are closed.

#include <cstddef>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

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

    /// Closes what is left, so that peers see RST; no other process may have it.
    void reset() {
        const ::linger option{.l_onoff = 1, .l_linger = 0};
        for (auto i = taken_; i < all_.size(); ++i)
            (void)::setsockopt(all_[i], SOL_SOCKET, SO_LINGER, &option, sizeof option);
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

} // namespace muxsocks
