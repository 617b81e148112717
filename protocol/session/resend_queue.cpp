#include "protocol/session/resend_queue.hpp"

namespace muxsocks {
namespace {

/// Whether the frame continues a stream that has a frame in the stretch: without that it is of no
/// use to the peer.
bool follows(const stretch& frame, const stretch& before) {
    const auto header = decode_header(frame.chunk.data() + frame.begin);
    if ((header.flags & (flag::data | flag::fin)) == 0) return false;
    auto at = before.chunk.data() + before.begin;
    for (auto left = before.frames; left > 0; --left, at += frame_at(at).size())
        if (decode_header(at).stream_id == header.stream_id) return true;
    return false;
}

} // namespace

void resend_queue::add(const stretch& frame, origin from) {
    ++frames_;
    const bool behind_bulk =
        !bulk_.empty() && bulk_.back().first.link == from.link && follows(frame, bulk_.back().what);
    const bool small = frame.end - frame.begin <= small_max && !behind_bulk;
    auto& to = small ? small_ : bulk_;
    if (!small && !to.empty() && to.back().precedes(frame, from)) {
        to.back().what.end = frame.end;
        ++to.back().what.frames;
        return;
    }
    memory_.keep(frame.chunk);
    to.push_back({frame, from});
}

void resend_queue::pop_small() {
    memory_.forget(small_.front().what.chunk);
    small_.pop_front();
    --frames_;
}

stretch resend_queue::take_bulk(std::size_t size_max) {
    auto& oldest = bulk_.front();
    auto taken = oldest.what;
    taken.end = taken.begin;
    taken.frames = 0;
    while (oldest.what.frames > 0) {
        const auto size = frame_at(oldest.what.chunk.data() + oldest.what.begin).size();
        if (taken.frames > 0 && taken.end - taken.begin + size > size_max) break;
        taken.end += size;
        ++taken.frames;
        oldest.skip_first();
    }
    frames_ -= taken.frames;
    if (oldest.what.frames == 0)
        bulk_.pop_front(); // Its keeper goes with what was taken.
    else
        memory_.keep(taken.chunk);
    return taken;
}

void resend_queue::clear() {
    for (const auto list : {&small_, &bulk_}) {
        for (const auto& each : *list)
            memory_.forget(each.what.chunk);
        list->clear();
    }
    frames_ = 0;
}

} // namespace muxsocks
