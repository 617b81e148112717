#pragma once

/// \file
/// Datagrams that came together and leave together: collected while the events of a batch go to
/// their owners, and sent by the socket with as few system calls as there are batches. An owner
/// that has none holds no memory for them: a thread has one place, which who collects first has.

#include "protocol/link/loop/datagram_socket.hpp"

#include <utility>
#include <vector>

namespace muxsocks {

class outgoing_datagrams {
  public:
    using endpoint = asio::ip::udp::endpoint;

    /// What stands in front of each of them, and lives longer.
    explicit outgoing_datagrams(bytes_view head = {}) : head_(head) {}

    bool empty() const { return all_.empty(); }
    bool full() const { return all_.size() == datagram_socket::batch_max; }
    /// One more, where it is not full; `bytes` is a view that lasts until send().
    /// Returns whether it is the first one: whoever sends them is to be told once.
    bool add(bytes_view bytes, const endpoint& to) {
        const bool first = all_.capacity() == 0;
        if (first) take_place();
        all_.push_back({bytes, to});
        return first;
    }
    /// Sends them by `socket`, in order, and calls `told(one)` of each: `sent` says whether the
    /// kernel has taken it.
    template <typename Told>
    void send(datagram_socket& socket, Told&& told) {
        if (all_.empty()) return;
        socket.send_all(head_, all_);
        for (const auto& each : all_)
            told(each);
        all_.clear();
    }
    /// Nothing more comes in this batch: what was not sent is lost.
    void end() {
        if (all_.capacity() == 0) return;
        all_.clear();
        place().swap(all_);
        std::vector<datagram_socket::outgoing>().swap(all_);
    }

  private:
    static std::vector<datagram_socket::outgoing>& place() {
        static thread_local std::vector<datagram_socket::outgoing> made;
        return made;
    }
    void take_place() {
        all_.swap(place());
        all_.reserve(datagram_socket::batch_max);
    }

    bytes_view head_;
    std::vector<datagram_socket::outgoing> all_; ///< With a place from the first one to end().
};

} // namespace muxsocks
