#pragma once

/// \file
/// The rates that a session's streams keep to, where there are any (pace.hpp): of what its sockets
/// give as much is read as may be, and credit is granted to streams by turns.

#include "protocol/session/pace.hpp"

#include <algorithm>
#include <deque>

namespace muxsocks {

class session;
struct stream;

class pacing {
  public:
    explicit pacing(session& of) : session_(of) {}

    /// Null: no rate from here on. They outlive the session, or the next call.
    void set(pace* reads, pace* credits);
    /// There may be more to move now.
    void on_pace(instant now);
    /// Streams that could be read, or granted credit, if the rate allowed.
    std::size_t waiting_reads() const;
    std::size_t waiting_credits() const { return waiting_.size(); }

    // ---- For the session: what leaves it.

    bool may_read_bulk() const { return !reads_ || reads_->open(); }
    bool may_read() const { return !reads_ || reads_->open_for_small(); }
    std::size_t at_once(std::size_t bytes) const {
        return reads_ ? std::min(bytes, reads_->at_once()) : bytes;
    }
    void on_readable() {
        if (reads_ && !reads_->open()) want_reads();
    }
    void on_read(std::size_t bytes) {
        if (!reads_) return;
        reads_->spend(bytes);
        on_readable();
    }

    // ---- What comes.

    bool paces_credit() const { return credits_ != nullptr; }
    /// What a stream begins with: at a rate a small window, since what one is granted and does not
    /// use is lost for the others.
    receive_window first_window() const;
    /// A larger window is of no use while the rate is what binds.
    bool may_grow() const { return !credits_ || credits_->open(); }
    /// Whether it is the small window that holds the stream up.
    bool held_up(const stream& s) const;
    void on_received(const stream& s, std::size_t bytes);
    /// Bytes of a stream that is gone, or being reset: what it was granted for them is others' by
    /// then, so they count as they come.
    void on_ignored(std::size_t bytes);
    /// Whether datagrams of so many bytes may come; they count.
    bool take_datagram(std::size_t bytes);
    /// Bytes were consumed: how much is worth a grant is a matter of the rate.
    void on_consumed(stream& s);
    /// The stream takes no byte beyond its top: what it was granted and has not used is others'.
    void on_end(stream& s);
    template <typename Predicate>
    void forget(Predicate gone) {
        std::erase_if(waiting_, gone);
    }

  private:
    std::uint64_t window() const;
    void want_reads();
    bool list(stream& s);
    void grant();

    session& session_;
    pace* reads_ = nullptr;
    pace* credits_ = nullptr;
    std::deque<stream*> waiting_; ///< To be granted credit, by turns.
};

} // namespace muxsocks
