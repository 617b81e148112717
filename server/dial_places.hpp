#pragma once

/// \file
/// How much may be under way at once, in all threads of a server together: connects, and look-ups
/// of names, each with places of their own that users share fairly (fair_places). A dial that finds
/// no place is told when it has one, from whichever thread that place becomes free. One lock for
/// each kind, taken when a dial begins and ends.

#include "server/fair_places.hpp"

#include <atomic>
#include <mutex>

namespace muxsocks::server {

/// Places of one kind.
class shared_places {
  public:
    explicit shared_places(std::size_t count) : places_(count) {}

    /// A dial's wish for a place.
    class claim : public fair_places::claim {
      public:
        /// The claim that waited has a place now. Any thread calls it, under the lock.
        virtual void on_place() = 0;
    };

    struct counts {
        std::size_t all = 0;
        std::size_t taken = 0;
        std::size_t waiting = 0;
    };

    /// Whether there was a place; if not, the claim waits from here on. `most` is what the user may
    /// have.
    bool take(claim& one, std::string_view user, std::size_t most);
    /// Gives the place back, or leaves the line; after that on_place will not be called.
    void leave(claim& one);

    [[nodiscard]] counts now() const;
    [[nodiscard]] std::size_t held_by(std::string_view user) const;
    /// True once: whether it has not been said yet that somebody waits.
    bool is_first_wait() { return !said_.exchange(true); }

  private:
    mutable std::mutex mutex_;
    fair_places places_;
    std::atomic<bool> said_{false};
};

struct dial_places {
    dial_places(std::size_t dials, std::size_t lookups) : connects(dials), names(lookups) {}

    shared_places connects;
    shared_places names;
};

} // namespace muxsocks::server
