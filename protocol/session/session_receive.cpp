// What arrives: frames are validated whole, then change the state.

#include "protocol/session/session.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

/// Refusals that may wait, however few streams the peer was told it may have.
constexpr std::size_t refusals_min = 1'000;
/// Frames of data that cost as much as a stream that is opened, with its connect.
constexpr std::size_t frames_of_open = 16;

bool is_of_stream(const frame_header& header) {
    return (header.flags & (flag::data | flag::fin | flag::rst | flag::syn)) != 0;
}

} // namespace

std::size_t session::on_bytes(link_number number, bytes_view bytes, instant now,
                              std::size_t frames_max) {
    const auto l = links_.find(number);
    if (!l) return bytes.size();
    now_ = now;
    l->frames_left = false;
    std::size_t work = 0;
    const auto whole = bytes.size();
    if (!bytes.empty()) {
        l->alive.on_bytes(now);
        if (l->up()) on_heard(*l);
    }
    if (!l->up() && state_ != state::closed) return on_join_answer(*l, bytes);
    const auto open = [&] { return state_ != state::closed && links_.find(number) == l; };
    while (open() && bytes.size() >= frame_header_size) {
        const auto header = decode_header(bytes.data());
        if (!std::exchange(first_seen_, true) && begins_v1(header)) {
            const auto fault = check_header(header, 1);
            if (fault || !settings_.allow_v1) {
                fail(fault ? static_cast<errc>(fault.value()) : errc::v1_refused);
                break;
            }
            begin_v1();
        }
        const auto error = version_ == 1 ? check_header(header, 1) : check_header(header);
        if (error) {
            fail(static_cast<errc>(error.value()));
            break;
        }
        // Nobody is known yet: no more is kept than HELLO can have.
        if (handshake_.at() == handshake::step::hello && header.length > hello_frame::size_max) {
            fail(errc::bad_control_frame);
            break;
        }
        const auto size = frame_header_size + header.length;
        if (bytes.size() < size) break;
        if (work >= frames_max) {
            l->frames_left = true;
            break;
        }
        const auto opened = statistics_.streams_opened;
        handle(*l, header, bytes.subspan(frame_header_size, header.length));
        if (is_of_stream(header)) ++work;
        work += (statistics_.streams_opened - opened) * frames_of_open;
        bytes = bytes.subspan(size);
    }
    if (!open()) return whole;
    if (bytes.empty() || l->frames_left)
        l->partial_since.reset();
    else if (!l->partial_since || bytes.size() != whole)
        l->partial_since = now;
    return whole - bytes.size();
}

bool session::frames_left(link_number number) const {
    const auto l = links_.find(number);
    return l && l->frames_left;
}

bool session::begins_v1(const frame_header& first) const {
    // The first frame tells the peer's version: a version 1 server answers HELLO with RST on
    // stream 0, a version 1 client begins with anything but HELLO.
    return client() ? first == frame_header{0, flag::rst, 0} : first.flags != flag::ctrl;
}

void session::begin_v1() {
    version_ = 1;
    handshake_.skip();
    for (const auto& l : links_) {
        l->kept.keep(false);
        l->outbox.clear();
    }
    emit(event::kind::established);
    on_links_changed();
}

void session::handle(link_state& l, const frame_header& header, bytes_view payload) {
    if (header.flags == flag::ctrl) return on_control(l, header.stream_id, payload);
    // Nothing else comes before HELLO, but for PING and PONG behind a JOIN that has failed.
    const bool behind_join =
        settings_.first_frame_seen && (header.flags & (flag::ping | flag::pong)) != 0;
    if (handshake_.at() == handshake::step::hello && !behind_join)
        return fail(errc::control_out_of_order);
    if (header.flags == flag::ping) return on_ping(l, payload);
    if (header.flags == flag::pong) {
        if (version_ >= 2 && l.alive.on_pong(load_u64(payload.data()), now_)) l.acks.on_pong(now_);
        return;
    }
    if (!handshake_.done()) return fail(errc::control_out_of_order);
    if (version_ == 1) return on_v1_frame(header, payload);
    const auto ignored_before = statistics_.repeated;
    on_stream_frame(header, payload);
    // Counted whatever became of it.
    if (!agreed().keeps ||
        (broken(broken_rule::ignored_not_counted) &&
         (statistics_.repeated > ignored_before || !streams_.table.find(header.stream_id))))
        return;
    if (statistics_.repeated == ignored_before) ++statistics_.frames_received;
    auto& counted = broken(broken_rule::ack_by_other_link) ? **links_.begin() : l;
    counted.brought.on_frame(frame_header_size + payload.size(), now_);
}

void session::on_stream_frame(const frame_header& header, bytes_view payload) {
    if (header.flags == flag::rst) return on_rst(header.stream_id, payload);
    on_data(header.stream_id, header.flags, payload);
}

// ---- Streams

stream* session::find_or_open(std::uint32_t id, bool opens) {
    if (const auto s = streams_.table.find(id)) return s;
    auto standing = ids_.look(id);
    if (broken(broken_rule::missing_ids_closed) && standing == stream_ids::standing::missing)
        standing = stream_ids::standing::known;
    switch (standing) {
    case stream_ids::standing::known: // Closed: ignored, for ever.
        if (broken(broken_rule::closed_ids_answered)) fail(errc::frame_before_syn);
        return nullptr;
    case stream_ids::standing::fault:
        fail(errc::frame_before_syn);
        return nullptr;
    case stream_ids::standing::fresh:
        // Looked at before anything is built for them.
        if (open_count() + ids_.missing() + ids_.gap(id) >= settings_.max_streams) {
            fail(errc::too_many_ids);
            return nullptr;
        }
        statistics_.ids_missing += ids_.gap(id);
        [[fallthrough]];
    case stream_ids::standing::missing:
        ids_.use(id);
        return opens ? admit(id) : nullptr;
    }
    return nullptr;
}

stream* session::admit(std::uint32_t id) {
    const bool crowded = version_ == 1
                             ? streams_.table.size() >= settings_.max_streams || v1_backlog_full()
                             : open_count() >= agreed().stream_limit;
    if (client() || (goaway_ && id > goaway_->last_stream) || crowded || !flood_.opens.take(now_) ||
        !flood_.incomplete.has(now_)) {
        refuse_id(id);
        return nullptr;
    }
    // Version 1 knows no credit.
    auto& s = streams_.make(version_ >= 2 ? agreed().peer_window : credit_limit_max,
                            pacing_.first_window(), now_);
    ++statistics_.streams_opened;
    s.recv.set_paced(pacing_.paces_credit());
    s.id = id;
    streams_.table.insert(s);
    emit(event::kind::opened, &s);
    return &s;
}

bool session::v1_backlog_full() const {
    // As the base protocol has it: 64 streams that nobody has taken up yet. Those of this batch do
    // not count: their owner has not seen them, and a burst of requests is no flood.
    if (streams_.table.size() < version_one::backlog_max) return false;
    std::size_t waiting = 0;
    streams_.table.for_each([&waiting, this](const stream& s) {
        if (!s.request_done && s.moved < now_) ++waiting;
    });
    return waiting >= version_one::backlog_max;
}

void session::refuse_id(std::uint32_t id) {
    ++statistics_.refused;
    // A peer that keeps to what it was told opens no more than that before it hears of a refusal,
    // whatever lower limit its user has.
    if (waiting_.refusals.size() >= std::max<std::size_t>(refusals_min, settings_.max_streams))
        return fail(errc::flood_of_refusals);
    waiting_.refusals.push_back(id);
    unblock(); // There is room on top for RST.
}

void session::on_data(std::uint32_t id, std::uint8_t flags, bytes_view payload) {
    const auto offset = load_u64(payload.data());
    const auto bytes = payload.subspan(offset_size);
    if (offset > offset_max || bytes.size() > offset_max - offset) return fail(errc::bad_offset);
    if ((flags & flag::syn) != 0 && (offset != 0 || client())) return fail(errc::bad_syn);
    // The first frame of a stream may be empty: there may be no credit for more.
    const bool first = (flags & flag::syn) != 0 && streams_.table.find(id) == nullptr;
    const auto s = find_or_open(id, true);
    if (!s || s->rst_wanted) pacing_.on_ignored(bytes.size());
    if (!s) return;
    const bool fin = (flags & flag::fin) != 0;
    if (bytes.empty() && !fin && !first && !flood_.empty.take(now_))
        return fail(errc::flood_of_empty_frames);
    if (!s->rst_wanted) take_data(*s, offset, bytes, fin);
}

void session::take_data(stream& s, std::uint64_t offset, bytes_view bytes, bool fin) {
    const auto end = offset + bytes.size();
    if ((fin && end < s.top) || (s.ends_at_top && end > s.top))
        return fault(s, reset_code::internal, errc::stream_internal);
    if (end > s.recv.announced())
        return fault(s, reset_code::flow_control, errc::stream_flow_control);
    s.top = std::max(s.top, end);
    s.ends_at_top |= fin;
    if (fin) pacing_.on_end(s);
    place(s, offset, bytes);
    if (s.closed || s.rst_wanted || s.fin_received || !s.ends_at_top) return;
    if (s.top == s.recv.received() || broken(broken_rule::fin_closes_early)) on_fin(s);
}

void session::place(stream& s, std::uint64_t offset, bytes_view bytes) {
    const auto received = s.recv.received();
    if (offset > received) {
        ++statistics_.pieces;
        if (!broken(broken_rule::pieces_dropped)) {
            const auto added = s.beyond.add(offset, bytes);
            statistics_.repeated += bytes.size() - added;
        }
        batch_.touch(s); // It is charged when the batch ends.
        return;
    }
    const auto known = std::min<std::uint64_t>(received - offset, bytes.size());
    statistics_.repeated += known;
    auto fresh = bytes.subspan(static_cast<std::size_t>(known));
    if (broken(broken_rule::overlaps_doubled)) fresh = bytes;
    if (fresh.empty() && !bytes.empty()) return;
    const auto take = [&](std::size_t size) {
        statistics_.bytes_received += size;
        pacing_.on_received(s, size);
        s.recv.on_received(size);
        if (s.discarding) s.recv.on_consumed(size);
    };
    take(fresh.size());
    if (!s.discarding) batch_.add(s, fresh);
    for (pieces::bytes piece; s.beyond.take(s.recv.received(), piece);) {
        take(piece.size());
        if (s.discarding)
            batch_.touch(s);
        else
            batch_.add_held(s, std::move(piece));
    }
    if (!s.discarding && s.view_bytes > 0) batch_.announce(s);
}

void session::on_fin(stream& s) {
    s.fin_received = true;
    if (!s.fin_sent && version_ >= 2) ++statistics_.half_closes;
    if (version_ == 1) {
        // A version 1 peer has forgotten the stream by now: nothing more can be sent on it.
        unschedule(s);
        s.readable = false;
        s.own.clear();
        s.fin_sent = true;
    }
    if (!s.discarding) batch_.announce(s);
    close_if_done(s);
}

void session::on_rst(std::uint32_t id, bytes_view payload) {
    ++statistics_.resets_received;
    const auto s = find_or_open(id, false); // It uses up an id that is new.
    if (!s) return;
    if (!client()) {
        if (!s->request_done) flood_.incomplete.take(now_);
        // What was connected counts as an open, which has a rate of its own.
        if (!s->connected && !flood_.resets.take(now_)) return fail(errc::flood_of_resets);
    }
    const auto code = payload.size() == 4 ? static_cast<reset_code>(load_u32(payload.data()))
                                          : reset_code::cancelled;
    end_stream(*s, error_of(code));
}

void session::on_v1_frame(const frame_header& header, bytes_view payload) {
    const auto id = header.stream_id;
    const auto s = streams_.table.find(id);
    if (header.flags == flag::syn) {
        if (id % 2 == (client() ? 1U : 0U) || s) return fail(errc::bad_stream_id);
        ids_.raise(id);
        admit(id);
    } else if (header.flags == flag::rst) {
        if (s) on_rst(id, payload);
    } else if (!s) {
        // As the base protocol has it: whatever names no stream is answered with RST.
        if (waiting_.refusals.size() < refusals_min) waiting_.refusals.push_back(id);
    } else if (s->fin_received) {
        fault(*s, reset_code::internal, errc::stream_internal);
    } else if (payload.empty() && header.flags == flag::data && !flood_.empty.take(now_)) {
        fail(errc::flood_of_empty_frames);
    } else {
        place(*s, s->recv.received(), payload);
        if ((header.flags & flag::fin) != 0) on_fin(*s);
    }
}

} // namespace muxsocks
