#include "protocol/session/pieces.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {

std::size_t pieces::add(std::uint64_t offset, bytes_view added) {
    const auto before = size();
    if (added.empty()) return 0;
    if (!held_) held_ = std::make_unique<held>();
    auto& by_offset = held_->by_offset;
    auto next = by_offset.upper_bound(offset);
    if (next != by_offset.begin()) {
        // What the piece in front holds already.
        const auto& [begin, piece] = *std::prev(next);
        const auto end = begin + piece.size();
        const auto known = end > offset ? std::min<std::uint64_t>(end - offset, added.size()) : 0;
        offset += known;
        added = added.subspan(static_cast<std::size_t>(known));
    }
    while (!added.empty()) {
        const bool meets = next != by_offset.end() && next->first < offset + added.size();
        const auto fresh = meets ? static_cast<std::size_t>(next->first - offset) : added.size();
        const auto known = meets ? std::min(added.size() - fresh, next->second.size()) : 0;
        if (fresh > 0) insert(next, offset, added.first(fresh));
        if (meets) ++next;
        offset += fresh + known;
        added = added.subspan(fresh + known);
    }
    return size() - before;
}

void pieces::insert(map::iterator behind, std::uint64_t offset, bytes_view added) {
    held_->size += added.size();
    if (behind != held_->by_offset.begin()) {
        auto& [begin, piece] = *std::prev(behind);
        if (begin + piece.size() == offset && piece.size() + added.size() <= merged_max) {
            held_->cost -= cost_of(piece);
            piece.insert(piece.end(), added.begin(), added.end());
            held_->cost += cost_of(piece);
            return;
        }
    }
    const auto at =
        held_->by_offset.emplace_hint(behind, offset, bytes(added.begin(), added.end()));
    held_->cost += cost_of(at->second);
}

bool pieces::take(std::uint64_t offset, bytes& out) {
    if (!held_ || held_->by_offset.begin()->first > offset) return false;
    const auto first = held_->by_offset.begin();
    const auto known = std::min<std::uint64_t>(offset - first->first, first->second.size());
    held_->cost -= cost_of(first->second);
    held_->size -= first->second.size();
    out = std::move(first->second);
    out.erase(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(known));
    held_->by_offset.erase(first);
    if (held_->by_offset.empty()) held_.reset();
    return true;
}

} // namespace muxsocks
