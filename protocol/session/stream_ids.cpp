#include "protocol/session/stream_ids.hpp"

#include <algorithm>
#include <iterator>

namespace muxsocks {

stream_ids::standing stream_ids::look(std::uint32_t id) const {
    const bool clients = id % 2 == 1;
    if (client_) return clients && id < next_ ? standing::known : standing::fault;
    if (!clients) return standing::fault;
    if (id > highest_) return standing::fresh;
    if (missing_.empty()) return standing::known;
    const auto behind = missing_.upper_bound(id);
    if (behind == missing_.begin()) return standing::known;
    return id <= std::prev(behind)->second ? standing::missing : standing::known;
}

void stream_ids::use(std::uint32_t id) {
    if (id > highest_) {
        const auto first = highest_ + first_step();
        if (first < id) {
            missing_.emplace(first, id - 2);
            missing_count_ += gap(id);
        }
        highest_ = id;
        return;
    }
    const auto at = std::prev(missing_.upper_bound(id));
    const auto [first, last] = *at;
    --missing_count_;
    missing_.erase(at);
    if (first < id) missing_.emplace(first, id - 2);
    if (id < last) missing_.emplace(id + 2, last);
}

bool stream_ids::on_frame_acked(std::uint32_t id) {
    const auto found = closing_.find(id);
    if (found == closing_.end() || --found->second > 0) return false;
    closing_.erase(found);
    return true;
}

void stream_ids::on_frame_copied(std::uint32_t id) {
    const auto found = closing_.find(id);
    if (found != closing_.end()) ++found->second;
}

} // namespace muxsocks
