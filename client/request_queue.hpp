#pragma once

/// \file
/// Requests that wait for a link, in the order in which they came. One whose application goes away
/// is forgotten. What becomes of the others is for the owner to say; it may add more meanwhile.

#include "client/pending_request.hpp"

#include <list>
#include <memory>

namespace muxsocks::client {

class request_queue {
  public:
    bool empty() const { return waiting_.empty(); }
    std::size_t size() const { return waiting_.size(); }
    void push(request_ptr request);

    /// Offers each in its turn to `place`, which returns whether it has taken it. The first that
    /// every session might take, and none does, is the last that is asked: there is no place for
    /// those behind it either.
    void serve(const std::function<bool(const request_ptr& request)>& place);
    /// Refuses those whose time is over; `tell` is called before each.
    void expire(instant now, const refusal& why, const std::function<void()>& tell);
    void refuse_all(const refusal& why);
    template <class Function>
    void for_each(Function function) {
        for (const auto& each : waiting_)
            function(*each);
    }
    /// Forgets them: their connections close without an answer.
    void clear() { waiting_.clear(); }

  private:
    using place_in_line = std::list<request_ptr>::iterator;
    request_ptr take(place_in_line which);

    std::list<request_ptr> waiting_;
    bool serving_ = false;
};

} // namespace muxsocks::client
