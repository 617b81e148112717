#include "http/answer_passage.hpp"

#include "http/forwarded_head.hpp"

namespace muxsocks::http {

answer_passage::piece answer_passage::next(std::string_view bytes) {
    piece made;
    if (fault_ || bytes.empty()) return made;
    if (state_ == state::body) {
        made.as_they_are = true;
        made.used = body_.take(bytes);
        if (body_.failed()) fault_ = {502, "The target's answer is not chunked as it should be."};
        if (body_.complete()) state_ = state::done;
        return made;
    }
    if (state_ == state::done) return made;
    const auto kept = head_.size();
    head_ += bytes;
    const auto size = end_.find(head_);
    if (end_.fault()) {
        fault_ = {502, "The head of the target's answer is not HTTP/1.1."};
        return made;
    }
    if (size == 0) {
        made.used = bytes.size();
        return made;
    }
    made.used = size - kept;
    head_.resize(size);
    made.text = on_head();
    head_.clear();
    end_.restart();
    return made;
}

std::string answer_passage::on_head() {
    answer_head parsed;
    if (parse(head_, parsed, by_.method)) {
        fault_ = {502, "The head of the target's answer is not HTTP/1.1."};
        return {};
    }
    const bool switches = parsed.status == 101;
    if (switches && !(by_.upgrade && parsed.upgrade)) {
        fault_ = {502, "The target switches protocols unasked."};
        return {};
    }
    begun_ = true;
    if (parsed.interim()) return forwarded(parsed, false, by_.old);
    status_ = parsed.status;
    upgraded_ = switches;
    framed_ = parsed.body != framing::until_end;
    server_persists_ = parsed.persists();
    body_ = body_walker(parsed);
    state_ = body_.complete() ? state::done : state::body;
    return forwarded(parsed, !keeps_application(), by_.old);
}

} // namespace muxsocks::http
