#pragma once

/// \file
/// Whose datagrams go out next by one link: those that have sent little since the link's streams
/// last went round, then the others by turns, as many times as the streams go round themselves.
/// It holds ids, not streams: what has ended meanwhile is passed over when its turn comes.

#include <cstdint>
#include <deque>
#include <optional>

namespace muxsocks {

class datagram_queue {
  public:
    /// What one of them may send in a round and still be fresh.
    static constexpr std::uint32_t quantum = 16'377;

    bool empty() const { return fresh_.empty() && bulk_.empty(); }
    void clear() {
        fresh_.clear();
        bulk_.clear();
        left_ = 0;
    }
    /// Takes those out in front that have no use for their turn any more.
    template <typename Function>
    void pass_over(Function useless) {
        for (const auto list : {&fresh_, &bulk_})
            while (!list->empty() && useless(list->front()))
                list->pop_front();
    }
    void add(std::uint32_t id, bool fresh) { (fresh ? fresh_ : bulk_).push_back(id); }

    /// Whether one may have its turn now. `round`: that of the streams that share the link;
    /// `others_wait`: whether any of those can send.
    bool has_turn(std::uint32_t round, bool others_wait) const {
        if (!fresh_.empty()) return true;
        return !bulk_.empty() && (!others_wait || left_ > 0 || round != round_);
    }
    struct taken {
        std::uint32_t id = 0;
        bool fresh = false;
    };
    /// The next one, taken out; none where has_turn() is false.
    std::optional<taken> next(std::uint32_t round, bool others_wait) {
        if (!has_turn(round, others_wait)) return {};
        if (!fresh_.empty()) return taken{take(fresh_), true};
        if (round != round_ || left_ == 0) {
            round_ = round;
            left_ = bulk_.size();
        }
        --left_;
        return taken{take(bulk_), false};
    }

  private:
    static std::uint32_t take(std::deque<std::uint32_t>& from) {
        const auto id = from.front();
        from.pop_front();
        return id;
    }

    std::deque<std::uint32_t> fresh_;
    std::deque<std::uint32_t> bulk_;
    std::uint32_t round_ = 0; ///< Of the streams, in which bulk last began.
    std::size_t left_ = 0;    ///< Turns of bulk in that round.
};

} // namespace muxsocks
