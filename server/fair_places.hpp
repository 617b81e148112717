#pragma once

/// \file
/// Places that users share fairly: who may have one now, and whose turn it is when one becomes
/// free. A pure object, without locks, threads or time.
///
/// No user can take them all: who holds more than what is free gets no more, so that a newcomer
/// finds a place at once however much others want (with one greedy user half of the places stays
/// free, with n of them in the end one of n + 1). Who finds none waits, and places that become free
/// go to the users that wait, in turn; those who hold less than a quarter of all places come before
/// those who hold more. Within a user it is first come, first served. Besides, a user may have a
/// bound of its own.

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>

namespace muxsocks::server {

class fair_places {
    struct share;

  public:
    /// One wish for a place. It must have left before it is destroyed.
    class claim : public boost::intrusive::list_base_hook<> {
      public:
        claim() = default;
        virtual ~claim() = default;
        claim(const claim&) = delete;
        claim& operator=(const claim&) = delete;

      private:
        friend class fair_places;
        enum class state : unsigned char { none, waiting, held };
        share* share_ = nullptr;
        state state_ = state::none;
    };

    explicit fair_places(std::size_t count) : count_(count) {}
    fair_places(const fair_places&) = delete;
    fair_places& operator=(const fair_places&) = delete;

    /// Whether there was a place for the claim; if not, it waits from here on. It must have none.
    /// `most` is what the user may have, from now on.
    bool take(claim& one, std::string_view user,
              std::size_t most = std::numeric_limits<std::size_t>::max());
    /// Gives back the place that the claim has, or leaves its line. No effect if it has neither.
    /// To be followed by next() until there is none.
    void leave(claim& one);
    /// The waiting claim that has just been given a place; null if there is none to be given.
    claim* next();

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t taken() const noexcept { return taken_; }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    [[nodiscard]] std::size_t held_by(std::string_view user) const;

  private:
    struct share : boost::intrusive::list_base_hook<> {
        std::string_view user; ///< The key's text in shares_.
        std::size_t held = 0;
        std::size_t most = 0; ///< That it may hold.
        boost::intrusive::list<claim, boost::intrusive::constant_time_size<false>> line;
    };
    struct name_hash : std::hash<std::string_view> {
        using is_transparent = void;
    };

    [[nodiscard]] bool may_have_one_more(const share& of) const;
    /// The first in turn that may have a place, of those who hold less than a quarter or of all.
    share* first_in_turn(bool of_all);
    void forget_if_idle(share& one);

    std::size_t count_;
    std::size_t taken_ = 0;
    std::size_t waiting_ = 0;
    /// Users who hold a place or wait.
    std::unordered_map<std::string, share, name_hash, std::equal_to<>> shares_;
    /// Those who wait, in turn.
    boost::intrusive::list<share, boost::intrusive::constant_time_size<false>> turn_;
};

} // namespace muxsocks::server
