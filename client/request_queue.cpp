#include "client/request_queue.hpp"

#include <utility>

namespace muxsocks::client {

void request_queue::push(request_ptr request) {
    waiting_.push_back(std::move(request));
    // An application that goes away while it waits must not cause a stream later. Whoever leaves
    // the queue in another way calls no `gone` any more.
    waiting_.back()->watch([this, which = std::prev(waiting_.end())] { take(which); });
}

request_ptr request_queue::take(place_in_line which) {
    auto request = std::move(*which);
    waiting_.erase(which);
    return request;
}

void request_queue::serve(const std::function<bool(const request_ptr& request)>& place) {
    if (std::exchange(serving_, true)) return;
    for (auto each = waiting_.begin(); each != waiting_.end();) {
        const auto request = *each;
        if (place(request))
            each = waiting_.erase(each);
        else if (request->refused_by.empty())
            break;
        else
            ++each;
    }
    serving_ = false;
}

void request_queue::expire(instant now, const refusal& why, const std::function<void()>& tell) {
    for (auto each = waiting_.begin(); each != waiting_.end();) {
        if ((*each)->give_up > now) {
            ++each;
            continue;
        }
        tell();
        take(each++)->refuse(why);
    }
}

void request_queue::refuse_all(const refusal& why) {
    while (!waiting_.empty())
        take(waiting_.begin())->refuse(why);
}

} // namespace muxsocks::client
