#include "tests/sim/pipe.hpp"

#include <algorithm>

namespace muxsocks::sim {

std::size_t pipe::write(bytes_view bytes, instant now) {
    if (broken_) return 0;
    const auto taken = std::min(bytes.size(), script_.capacity - in_flight_);
    const auto kept = static_cast<std::size_t>(
        std::min<std::uint64_t>(taken, script_.cut_after - std::min(script_.cut_after, written_)));
    written_ += taken;
    if (kept > 0) {
        in_flight_ += kept;
        flights_.push_back({now + script_.delay,
                            {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kept)},
                            0});
    }
    if (written_ >= script_.cut_after) broken_ = true;
    return taken;
}

std::size_t pipe::read(std::vector<std::uint8_t>& to, std::size_t bytes_max, instant now) {
    auto left = static_cast<std::size_t>(std::min<std::uint64_t>(
        bytes_max, script_.stall_after - std::min(script_.stall_after, read_)));
    const auto wanted = left;
    while (left > 0 && !flights_.empty() && flights_.front().arrival <= now) {
        auto& oldest = flights_.front();
        const auto part = std::min(left, oldest.bytes.size() - oldest.begin);
        const auto from = oldest.bytes.begin() + static_cast<std::ptrdiff_t>(oldest.begin);
        to.insert(to.end(), from, from + static_cast<std::ptrdiff_t>(part));
        oldest.begin += part;
        left -= part;
        if (oldest.begin == oldest.bytes.size()) flights_.pop_front();
    }
    in_flight_ -= wanted - left;
    read_ += wanted - left;
    return wanted - left;
}

bool pipe::arrived(instant now) const {
    return !flights_.empty() && flights_.front().arrival <= now && !stalled();
}

std::optional<instant> pipe::next_arrival() const {
    if (flights_.empty() || stalled()) return {};
    return flights_.front().arrival;
}

void pipe::cut(std::size_t arriving) {
    broken_ = true;
    while (in_flight_ > arriving) {
        auto& newest = flights_.back();
        const auto part = std::min(in_flight_ - arriving, newest.bytes.size() - newest.begin);
        newest.bytes.resize(newest.bytes.size() - part);
        in_flight_ -= part;
        if (newest.bytes.size() == newest.begin) flights_.pop_back();
    }
}

} // namespace muxsocks::sim
