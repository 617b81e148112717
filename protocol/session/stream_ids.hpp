#pragma once

/// \file
/// Which stream ids are used. Ids are used in order and none is left out, so that each of the
/// peer's is fresh, missing (a higher one came first), or known: open, or closed for ever. No list
/// of the closed ones is needed.

#include "protocol/session/control.hpp"

#include <map>
#include <unordered_map>
#include <utility>

namespace muxsocks {

class stream_ids {
  public:
    explicit stream_ids(bool client) : client_(client) {}

    // ---- Of streams that we open.

    std::uint32_t take() {
        const auto id = next_;
        next_ += 2;
        return id;
    }
    bool exhausted() const { return next_ >= 0xffff'fffe; }

    // ---- Of the peer's.

    enum class standing : std::uint8_t {
        known, ///< Open or closed.
        missing,
        fresh,
        fault, ///< Our own that we have not used, or a server's.
    };
    standing look(std::uint32_t id) const;
    /// How many ids become missing when the fresh one is used.
    std::uint32_t gap(std::uint32_t id) const { return (id - highest_ - first_step()) / 2; }
    /// The fresh or missing id is open or refused from now on.
    void use(std::uint32_t id);
    std::uint32_t highest() const { return highest_; }
    std::uint32_t missing() const { return missing_count_; }
    /// Version 1 has no order.
    void raise(std::uint32_t id) { highest_ = id > highest_ ? id : highest_; }

    // ---- Ours that are closed, of which not all frames are acknowledged: they take a place of
    // max_streams until then.

    void close_later(std::uint32_t id, std::uint32_t frames) { closing_[id] = frames; }
    /// Whether the last frame of a closed stream is acknowledged now.
    bool on_frame_acked(std::uint32_t id);
    void on_frame_copied(std::uint32_t id);
    std::size_t closing() const { return closing_.size(); }

    // ---- As they were elsewhere.

    std::uint32_t next() const { return next_; }
    const std::map<std::uint32_t, std::uint32_t>& missing_runs() const { return missing_; }
    void restore(std::uint32_t next, std::uint32_t highest,
                 const std::vector<std::pair<std::uint32_t, std::uint32_t>>& missing) {
        next_ = next;
        highest_ = highest;
        for (const auto& [first, last] : missing) {
            missing_.emplace(first, last);
            missing_count_ += (last - first) / 2 + 1;
        }
    }

    void clear() {
        missing_.clear();
        missing_count_ = 0;
        closing_.clear();
    }

  private:
    /// The first id follows 0 by 1, each other one its predecessor by 2.
    std::uint32_t first_step() const { return highest_ == 0 ? 1 : 2; }

    bool client_;
    std::uint32_t next_ = 1;
    std::uint32_t highest_ = 0;
    std::map<std::uint32_t, std::uint32_t> missing_; ///< First to last of each run, in steps of 2.
    std::uint32_t missing_count_ = 0;
    std::unordered_map<std::uint32_t, std::uint32_t> closing_;
};

} // namespace muxsocks
