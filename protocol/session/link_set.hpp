#pragma once

/// \file
/// The links of a session: their numbers, which are used once, who takes what, and what is still to
/// be said of those that were lost (DROP).

#include "protocol/link_facts.hpp"
#include "protocol/session/link_state.hpp"

#include <deque>

namespace muxsocks {

/// Numbers that a JOIN or a DROP has named: the highest, and which of the 64 below it.
class used_numbers {
  public:
    static constexpr link_number window = 64;

    bool contains(link_number number) const {
        if (number > highest_) return false;
        if (number == highest_) return true;
        const auto below = highest_ - number - 1;
        return below >= window || (bits_ >> below & 1) != 0;
    }
    void use(link_number number) {
        if (number > highest_) {
            const auto by = number - highest_;
            bits_ =
                by > window ? 0 : (by == window ? 0 : bits_ << by) | std::uint64_t{1} << (by - 1);
            highest_ = number;
        } else if (number < highest_ && highest_ - number <= window) {
            bits_ |= std::uint64_t{1} << (highest_ - number - 1);
        }
    }
    link_number highest() const { return highest_; }
    std::uint64_t below() const { return bits_; }
    void restore(link_number highest, std::uint64_t below) {
        highest_ = highest;
        bits_ = below;
    }

  private:
    link_number highest_ = 0; ///< HELLO's own is used from the begin.
    std::uint64_t bits_ = 0;
};

class link_set {
  public:
    bool empty() const { return links_.empty(); }
    std::size_t size() const { return links_.size(); }
    std::size_t up_count() const;
    link_state* find(link_number number) const;
    /// In the order in which they came.
    auto begin() const { return links_.begin(); }
    auto end() const { return links_.end(); }

    link_state& add(std::unique_ptr<link_state> added);
    /// Takes the link out.
    std::unique_ptr<link_state> remove(link_state& lost);
    void clear() {
        links_.clear();
        choose();
    }

    /// Client: the number of the next link.
    link_number take_number() { return next_number_++; }
    bool was_given(link_number number) const { return number < next_number_; }
    link_number next_number() const { return next_number_; }
    void restore_next_number(link_number next) { next_number_ = next; }
    used_numbers used; ///< Server.

    // ---- Who takes what.

    /// Whether they differ from those before.
    bool set_roles(const link_roles& roles) {
        if (roles == roles_) return false;
        roles_ = roles;
        choose();
        return true;
    }
    /// Finds them anew: a link has come up, or is avoided or not any more.
    void choose();
    link_state* small() const { return small_; }
    /// The second link that small frames go by; none if they do not.
    link_state* twice() const { return twice_; }
    /// For the streams with this id that are bulk.
    link_state* bulk(std::uint32_t id) const {
        return bulk_count_ > 0 ? bulk_[id / 2 % bulk_count_] : nullptr;
    }
    /// The one that resends bulk goes by.
    link_state* bulk() const { return bulk_count_ > 0 ? bulk_[0] : nullptr; }
    /// The one that has been silent for longest, but for `not_this`.
    link_state* most_silent(const link_state* not_this) const;
    /// The longest round trip of those that are up.
    duration rtt() const;

    // ---- What is to be said of links that were lost.

    /// At most as many for links that never were up at the peer, as far as is known.
    static constexpr std::size_t drops_max = 320;
    void must_drop(const drop_frame& told) {
        if (drops_.size() == drops_max) drops_.pop_front();
        drops_.push_back(told);
    }
    bool has_drops() const { return !drops_.empty(); }
    const drop_frame& next_drop() const { return drops_.front(); }
    void on_drop_laid() { drops_.pop_front(); }
    void forget_drops() { drops_.clear(); }
    const std::deque<drop_frame>& drops() const { return drops_; }

  private:
    link_state* usable(link_number number) const;
    link_state* newest() const;

    std::vector<std::unique_ptr<link_state>> links_;
    link_number next_number_ = 1;
    link_roles roles_;
    link_state* small_ = nullptr;
    link_state* twice_ = nullptr;
    std::array<link_state*, 3> bulk_{};
    std::uint32_t bulk_count_ = 0;
    std::deque<drop_frame> drops_;
};

} // namespace muxsocks
