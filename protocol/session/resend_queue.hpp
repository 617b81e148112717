#pragma once

/// \file
/// What links that were lost, or are doubted, had carried and is not acknowledged: it goes by
/// others, unchanged. Small frames are laid among new ones; bulk goes out as it stands in its
/// chunk.

#include "protocol/link_facts.hpp"
#include "protocol/session/kept_frames.hpp"

namespace muxsocks {

class resend_queue {
  public:
    /// Frames of up to this size are copied into a turn.
    static constexpr std::size_t small_max = 1024 + data_header_size;

    explicit resend_queue(kept_memory& memory) : memory_(memory) {}
    ~resend_queue() { clear(); }
    resend_queue(const resend_queue&) = delete;
    resend_queue& operator=(const resend_queue&) = delete;

    /// Names a frame of a lost link: the how manieth kept one of it.
    struct origin {
        link_number link;
        std::uint64_t frame;
    };

    /// One frame; without an origin it is a copy, which on_processed() leaves alone.
    void add(const stretch& frame, origin from = {link_roles::none, 0});
    /// The lost link's peer has processed `frames` of what it carried: those that wait here need
    /// not go again. Calls `function(bytes_view frame)` for each.
    template <typename Function>
    void on_processed(link_number link, std::uint64_t frames, Function function);
    bool has_small() const { return !small_.empty(); }
    bool has_bulk() const { return !bulk_.empty(); }
    bool empty() const { return small_.empty() && bulk_.empty(); }
    std::uint64_t frames() const { return frames_; }

    bytes_view front_small() const { return small_.front().what.bytes(); }
    void pop_small();
    /// The next stretch, of at most `size_max` bytes unless one frame alone is longer. Until
    /// forget() is called with it, it is kept.
    stretch take_bulk(std::size_t size_max);
    void forget(const stretch& taken) { memory_.forget(taken.chunk); }
    void clear();
    /// Whole frames, one or several at a time: `function(bytes_view frames, const origin& first)`.
    template <typename Function>
    void for_each(Function function) const {
        for (const auto list : {&small_, &bulk_})
            for (const auto& each : *list)
                function(each.what.bytes(), each.first);
    }

  private:
    struct entry {
        stretch what; ///< Only kept frames, one behind the other.
        origin first; ///< Of its first frame.
        /// Whether the frame continues it, in its chunk and by its number: those of a link may lie
        /// one behind the other without having been so on the link (session::restore_kept()).
        bool precedes(const stretch& frame, const origin& from) const {
            if (first.link != from.link || what.chunk != frame.chunk || what.end != frame.begin)
                return false;
            return from.link == link_roles::none || first.frame + what.frames == from.frame;
        }
        void skip_first() {
            what.begin += frame_at(what.chunk.data() + what.begin).size();
            --what.frames;
            ++first.frame;
        }
    };

    kept_memory& memory_;
    std::deque<entry> small_;
    std::deque<entry> bulk_;
    std::uint64_t frames_ = 0;
};

template <typename Function>
void resend_queue::on_processed(link_number link, std::uint64_t frames, Function function) {
    for (const auto list : {&small_, &bulk_}) {
        for (auto& each : *list) {
            if (each.first.link != link) continue;
            while (each.what.frames > 0 && each.first.frame <= frames) {
                function(frame_at(each.what.chunk.data() + each.what.begin));
                each.skip_first();
                --frames_;
            }
            if (each.what.frames == 0) memory_.forget(each.what.chunk);
        }
        std::erase_if(*list, [](const entry& each) { return each.what.frames == 0; });
    }
}

} // namespace muxsocks
