#include "server/dial_places.hpp"

namespace muxsocks::server {

bool shared_places::take(claim& one, std::string_view user, std::size_t most) {
    const std::lock_guard lock(mutex_);
    return places_.take(one, user, most);
}

void shared_places::leave(claim& one) {
    const std::lock_guard lock(mutex_);
    places_.leave(one);
    while (fair_places::claim* const next = places_.next())
        static_cast<claim*>(next)->on_place();
}

shared_places::counts shared_places::now() const {
    const std::lock_guard lock(mutex_);
    return {places_.count(), places_.taken(), places_.waiting()};
}

std::size_t shared_places::held_by(std::string_view user) const {
    const std::lock_guard lock(mutex_);
    return places_.held_by(user);
}

} // namespace muxsocks::server
