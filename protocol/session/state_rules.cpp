// What must be true of a state, so that the session that is made of it needs no other look.

#include "protocol/session/frame_rules.hpp"
#include "protocol/session/state.hpp"
#include "protocol/session/stream_ids.hpp"

#include <algorithm>
#include <unordered_map>

namespace muxsocks {
namespace {

constexpr std::uint64_t bytes_max = std::uint64_t{1} << 62;
/// A server lets no more ids be open or missing than it has streams, whatever that is.
constexpr std::uint32_t id_max = 0xffff'fffe;
/// No session lives to use so many: there are numbers left for those that it will have.
constexpr link_number next_link_max = 0xffff'0000;

bool odd(std::uint32_t id) { return id % 2 == 1; }

bool runs_fit(const session_state& s) {
    std::uint32_t above = 0;
    for (const auto& [first, last] : s.missing) {
        const bool fits = odd(first) && odd(last) && first <= last && last < s.highest_id &&
                          (above == 0 || first > above + 2);
        if (!fits) return false;
        above = last;
    }
    return true;
}

/// Whether the peer, or we, have used the id.
bool used(const session_state& s, std::uint32_t id) {
    if (!odd(id)) return false;
    if (s.side == role::client) return id < s.next_id;
    if (id > s.highest_id) return false;
    const auto behind = std::upper_bound(s.missing.begin(), s.missing.end(), id,
                                         [](auto one, const auto& run) { return one < run.first; });
    return behind == s.missing.begin() || id > std::prev(behind)->second;
}

bool session_fits(const session_state& s) {
    const auto& a = s.agreed;
    if (s.own_window == 0 || a.max_links == 0 || a.resume_timeout_ms == 0) return false;
    if (a.user.size() > 255 || a.join_at.size() > hello_frame::join_at_max) return false;
    if (s.next_link == 0 || s.next_link > next_link_max || s.drops.size() > 0xffff) return false;
    if (s.goaway_due && !s.goaway) return false;
    if (s.side == role::client) {
        if (!odd(s.next_id) || s.highest_id != 0 || !s.missing.empty() || !s.refusals.empty())
            return false;
    } else if (s.next_id != 1 || (s.highest_id != 0 && !odd(s.highest_id))) {
        return false;
    }
    return s.highest_id <= id_max && runs_fit(s) &&
           std::all_of(s.refusals.begin(), s.refusals.end(), [&s](auto id) { return used(s, id); });
}

bool pieces_fit(const stream_state& t) {
    auto at = t.received + 1; // What continues is taken at once.
    for (const auto& each : t.beyond) {
        if (each.offset < at || each.offset > bytes_max || each.bytes.empty()) return false;
        at = each.offset + each.bytes.size();
    }
    return t.beyond.empty() || at <= t.top;
}

bool receiving_fits(const stream_state& t) {
    if (t.consumed > t.received || t.received > t.top || t.top > t.announced) return false;
    if (t.announced > 2 * bytes_max || t.window == 0 || t.window > bytes_max) return false;
    if (t.unread.size() > t.received - t.consumed) return false;
    if (t.final_size && *t.final_size != t.top) return false;
    if (t.fin_received && t.final_size != t.received) return false;
    return pieces_fit(t);
}

bool sending_fits(const stream_state& t) {
    if (t.sent > t.limit || t.limit > bytes_max) return false;
    if (t.fin_sent && !t.own.empty()) return false;
    return !t.rst_wanted || (t.discarding && !t.fin_wanted && t.rst_code != 0);
}

/// One that waits to be opened, or has ended before: only a client opens streams, and nothing has
/// gone or come for it.
bool unopened_fits(const session_state& s, const stream_state& t) {
    if (s.side != role::client || t.sent > 0 || t.fin_sent || t.due_ms) return false;
    if (t.top > 0 || t.final_size || t.credited) return false;
    return !t.closed || t.own.empty();
}

bool stream_fits(const session_state& s, const stream_state& t) {
    if (!receiving_fits(t) || !sending_fits(t)) return false;
    if (t.due_ms && (!t.discarding || t.closed)) return false;
    // Only who has an owner waits to be opened, or is there still when closed.
    if (t.id == 0 || t.closed) {
        if (!t.owned || t.rst_wanted || !t.beyond.empty()) return false;
        if (t.id == 0) return unopened_fits(s, t);
    }
    if (!used(s, t.id)) return false;
    if (t.closed) return t.own.empty();
    return !t.fin_sent || !t.fin_received;
}

using streams_by_id = std::unordered_map<std::uint32_t, const stream_state*>;

bool frame_fits(const session_state& s, const streams_by_id& streams, bytes_view frame) {
    const auto header = decode_header(frame.data());
    const auto payload = frame.subspan(frame_header_size);
    if (check_header(header) || !is_kept(frame.data())) return false;
    if (header.flags == flag::ctrl) {
        if (header.stream_id != 0) return false;
        const bool drop = static_cast<control_type>(payload[0]) == control_type::drop;
        return drop ? decode_drop(payload).has_value() : decode_goaway(payload).has_value();
    }
    if (!used(s, header.stream_id)) return false;
    if (!is_data(header.flags)) return true;
    const auto offset = load_u64(payload.data());
    const auto size = payload.size() - offset_size;
    if (offset > bytes_max || size > bytes_max - offset) return false;
    const auto of = streams.find(header.stream_id);
    return of == streams.end() || offset + size <= of->second->sent;
}

bool kept_fit(const session_state& s, const streams_by_id& streams) {
    for (const auto& run : s.kept) {
        for (bytes_view rest = run.frames; !rest.empty();) {
            if (rest.size() < frame_header_size) return false;
            const auto size = frame_header_size + decode_header(rest.data()).length;
            if (rest.size() < size || !frame_fits(s, streams, rest.first(size))) return false;
            rest = rest.subspan(size);
        }
    }
    return true;
}

} // namespace

bool is_possible(const session_state& s) {
    if (!session_fits(s)) return false;
    streams_by_id streams;
    for (const auto& each : s.streams) {
        if (!stream_fits(s, each)) return false;
        if (each.id != 0 && !streams.emplace(each.id, &each).second) return false;
    }
    return kept_fit(s, streams);
}

} // namespace muxsocks
