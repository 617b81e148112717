// What arrives: frames are validated whole, then change the state.

#include "protocol/session.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

constexpr std::size_t ack_after_bytes = 128 * 1024;
constexpr duration ack_after = std::chrono::milliseconds(20);
constexpr std::uint64_t tiny_credit = 1024;
/// Refusals that may wait, however few streams the peer was told it may have.
constexpr std::size_t refusals_min = 1'000;
constexpr std::size_t v1_backlog = 64;

} // namespace

std::size_t session::on_bytes(bytes_view bytes, instant now) {
    now_ = now;
    const auto whole = bytes;
    if (!bytes.empty()) keepalive_.on_bytes(now);
    std::size_t taken = 0;
    frames_left_ = false;
    while (attached_ && state_ != state::closed && bytes.size() >= frame_header_size) {
        const auto header = decode_header(bytes.data());
        if (!std::exchange(first_seen_, true) && begins_v1(header)) {
            const auto fault = check_header(header, 1);
            if (fault || !settings_.allow_v1) {
                fail(fault ? static_cast<errc>(fault.value()) : errc::v1_refused);
                break;
            }
            begin_v1();
        }
        if (const auto error = check_header(header, version_)) {
            fail(static_cast<errc>(error.value()));
            break;
        }
        // Nobody is known yet: no more is kept than HELLO can have.
        if (state_ == state::hello && header.length > hello_frame::size_max) {
            fail(errc::bad_control_frame);
            break;
        }
        const auto size = frame_header_size + header.length;
        if (bytes.size() < size) break;
        if (taken >= settings_.frames_at_once) {
            frames_left_ = true;
            break;
        }
        taken += header.flags == flag::syn ? frames_for_syn : 1;
        handle(header, bytes.subspan(frame_header_size, header.length));
        bytes = bytes.subspan(size);
    }
    if (state_ == state::closed || bytes.empty() || frames_left_)
        partial_since_.reset();
    else if (!partial_since_ || bytes.size() != whole.size())
        partial_since_ = now;
    return state_ == state::closed ? whole.size() : whole.size() - bytes.size();
}

bool session::begins_v1(const frame_header& first) const {
    // The first frame tells the peer's version: a version 1 server answers HELLO with RST on
    // stream 0, a version 1 client begins with anything but HELLO.
    return settings_.side == role::client ? first == frame_header{0, flag::rst, 0}
                                          : first.flags != flag::ctrl;
}

void session::handle(const frame_header& header, bytes_view payload) {
    if (header.flags == flag::ctrl) return on_control(header.stream_id, payload);
    // Nothing else comes before HELLO, but for PING and PONG behind a RESUME that has failed.
    const bool behind_resume =
        settings_.first_frame_seen && (header.flags == flag::ping || header.flags == flag::pong);
    if (state_ == state::hello && !behind_resume) return fail(errc::control_out_of_order);
    switch (header.flags) {
    case flag::ping:
        return on_ping(payload);
    case flag::pong:
        if (version_ >= 2) keepalive_.on_pong(load_u64(payload.data()), now_);
        return;
    default:
        if (state_ != state::established || awaiting_start_)
            return fail(errc::control_out_of_order);
        return on_counted(header, payload);
    }
}

void session::on_counted(const frame_header& header, bytes_view payload) {
    if (resumable_) {
        if (recv_next_++ <= recv_frames_) {
            ++statistics_.duplicates;
            return;
        }
        ++recv_frames_;
        bytes_since_ack_ += frame_header_size + payload.size();
        if (bytes_since_ack_ >= ack_after_bytes)
            ack_due_ = true;
        else if (!ack_deadline_)
            ack_deadline_ = now_ + ack_after;
    }
    switch (header.flags) {
    case flag::syn:
        return on_syn(header.stream_id);
    case flag::rst:
        return on_rst(header.stream_id, payload);
    default:
        return on_data(header.stream_id, header.flags, payload);
    }
}

bool session::never_opened(std::uint32_t stream_id) const {
    const bool clients = stream_id % 2 == 1;
    const bool ours = clients == (settings_.side == role::client);
    return ours ? stream_id >= next_id_ : stream_id > highest_remote_;
}

stream* session::find_or_fault(std::uint32_t stream_id) {
    const auto s = table_.find(stream_id);
    if (s) return s;
    if (version_ == 1) {
        // As the base protocol has it: whatever names no stream is answered with RST.
        if (refusals_.size() < refusals_min) refusals_.push_back(stream_id);
        return nullptr;
    }
    // Streams that have closed stay silent for ever; those never opened are a fault.
    if (never_opened(stream_id)) fail(errc::frame_before_syn);
    return nullptr;
}

void session::on_syn(std::uint32_t stream_id) {
    const bool clients = stream_id % 2 == 1;
    if (clients == (settings_.side == role::client) ||
        (stream_id <= highest_remote_ && (version_ >= 2 || table_.find(stream_id))))
        return fail(errc::bad_stream_id);
    highest_remote_ = std::max(highest_remote_, stream_id);
    const bool crowded = version_ == 1 ? table_.size() >= settings_.max_streams || v1_backlog_full()
                                       : table_.size() >= stream_limit_;
    if (settings_.side == role::client || (goaway_ && stream_id > goaway_->last_stream) ||
        crowded || !flood_.opens.take(now_) || !flood_.incomplete.has(now_))
        return refuse_syn(stream_id);
    auto& s = make_stream();
    s.id = stream_id;
    table_.insert(s);
    emit(event::kind::opened, &s);
}

bool session::v1_backlog_full() const {
    // As the base protocol has it: 64 streams that nobody has taken up yet. Those of this batch do
    // not count: their owner has not seen them, and a burst of requests is no flood.
    if (table_.size() < v1_backlog) return false;
    std::size_t waiting = 0;
    table_.for_each([&waiting, this](const stream& s) {
        if (!s.request_done && s.moved < now_) ++waiting;
    });
    return waiting >= v1_backlog;
}

void session::refuse_syn(std::uint32_t stream_id) {
    ++statistics_.refused;
    // A peer that keeps to what it was told opens no more than that before it hears of a refusal,
    // whatever lower limit its user has.
    if (refusals_.size() >= std::max<std::size_t>(refusals_min, settings_.max_streams))
        return fail(errc::flood_of_refusals);
    refusals_.push_back(stream_id);
    blocked_ = false; // There is room on top for RST.
}

void session::touch(stream& s) {
    if (s.touched) return;
    s.touched = true;
    touched_.push_back(&s);
    emit(event::kind::readable, &s);
}

void session::on_data(std::uint32_t stream_id, std::uint8_t flags, bytes_view payload) {
    const auto found = find_or_fault(stream_id);
    if (!found) return;
    auto& s = *found;
    if (s.fin_received) return fault(s, reset_code::internal, errc::stream_internal);
    if (payload.empty() && (flags & flag::fin) == 0 && !flood_.empty.take(now_))
        return fail(errc::flood_of_empty_frames);
    if (version_ >= 2 && !s.recv.accepts(payload.size()))
        return fault(s, reset_code::flow_control, errc::stream_flow_control);
    statistics_.bytes_received += payload.size();
    s.recv.on_received(payload.size());
    if (s.discarding) {
        s.recv.on_consumed(payload.size());
    } else if (!payload.empty()) {
        const auto index = static_cast<std::int32_t>(views_.size());
        views_.push_back({payload, -1});
        if (s.last_view >= 0)
            views_[static_cast<std::size_t>(s.last_view)].next = index;
        else
            s.first_view = index;
        s.last_view = index;
        s.view_bytes += payload.size();
        touch(s);
    }
    if ((flags & flag::fin) != 0) on_fin(s);
}

void session::on_fin(stream& s) {
    s.fin_received = true;
    if (!s.fin_sent && version_ >= 2) ++statistics_.half_closes;
    if (version_ == 1) {
        // A version 1 peer has forgotten the stream by now: nothing more can be sent on it.
        scheduler_.remove(s);
        s.readable = false;
        s.own.clear();
        s.fin_sent = true;
    }
    if (!s.discarding) touch(s);
    close_if_done(s);
}

void session::on_rst(std::uint32_t stream_id, bytes_view payload) {
    ++statistics_.resets_received;
    const auto s = table_.find(stream_id);
    if (!s) {
        if (version_ >= 2 && never_opened(stream_id)) fail(errc::frame_before_syn);
        return;
    }
    if (settings_.side == role::server) {
        if (!s->request_done) flood_.incomplete.take(now_);
        // What was connected counts as an open, which has a rate of its own.
        if (!s->connected && !flood_.resets.take(now_)) return fail(errc::flood_of_resets);
    }
    const auto code = payload.size() == 4 ? static_cast<reset_code>(load_u32(payload.data()))
                                          : reset_code::cancelled;
    end_stream(*s, error_of(code));
}

void session::fault(stream& s, reset_code code, errc why) {
    if (s.closed || s.rst_wanted) return;
    if (settings_.side == role::server && code != reset_code::shed && !flood_.resets.take(now_))
        return fail(errc::flood_of_resets);
    s.end = why;
    reset(s, code);
    if (!s.released) emit(event::kind::reset, &s, why);
}

void session::on_ping(bytes_view payload) {
    if (!flood_.pings.take(now_)) return fail(errc::flood_of_pings);
    if (version_ >= 2) {
        pong_token_ = load_u64(payload.data());
        pongs_due_ = 1;
    } else {
        ++pongs_due_; // No token says which PING a PONG is for. The flood's limit bounds them.
    }
}

void session::on_control(std::uint32_t stream_id, bytes_view payload) {
    const auto type = static_cast<control_type>(payload[0]);
    if (payload[0] >= control_ignorable_from) return on_extension(payload);
    if (type == control_type::close && stream_id == 0) return on_peer_close(payload);
    if (state_ == state::hello) {
        if (type == control_type::hello && stream_id == 0) return on_hello(payload);
        return fail(errc::control_out_of_order);
    }
    if (state_ == state::auth) {
        if (stream_id != 0) return fail(errc::control_out_of_order);
        if (settings_.side == role::server && type == control_type::auth) return on_auth(payload);
        if (settings_.side == role::client && type == control_type::auth_ok)
            return on_auth_ok(payload);
        if (settings_.side == role::client && type == control_type::auth_fail)
            return on_auth_fail(payload);
        return fail(errc::control_out_of_order);
    }
    if (awaiting_start_ && type != control_type::start) return fail(errc::control_out_of_order);
    switch (type) {
    case control_type::credit:
        return on_credit(stream_id, payload);
    case control_type::ack: {
        const auto frames = decode_u64(payload);
        if (!frames || stream_id != 0) return fail(errc::bad_control_frame);
        const auto acked_before = replay_.acked_frames();
        if (!replay_.on_ack(*frames)) return fail(errc::ack_beyond_sent);
        if (replay_.acked_frames() == acked_before) return;
        blocked_ = false;
        unacked_since_ = replay_.empty() ? std::nullopt : std::optional(now_);
        return;
    }
    case control_type::start:
        return stream_id == 0 ? on_start(payload) : fail(errc::bad_control_frame);
    case control_type::goaway:
        // Only servers send it.
        if (settings_.side == role::server) return fail(errc::control_out_of_order);
        return stream_id == 0 ? on_goaway(payload) : fail(errc::bad_control_frame);
    case control_type::hello:
    case control_type::auth:
    case control_type::auth_ok:
    case control_type::auth_fail:
    case control_type::resume:
    case control_type::resume_ok:
    case control_type::resume_fail:
    case control_type::close:
        return fail(errc::control_out_of_order);
    }
    fail(errc::unknown_control_frame);
}

void session::on_extension(bytes_view payload) {
    if (state_ == state::hello && !leading_.take(frame_header_size + payload.size()))
        fail(errc::control_out_of_order);
}

void session::on_auth_fail(bytes_view payload) {
    if (!decode_auth_fail(payload)) return fail(errc::bad_control_frame);
    close(close_code::normal, errc::authentication_failed, {});
}

void session::on_credit(std::uint32_t stream_id, bytes_view payload) {
    const auto limit = decode_u64(payload);
    if (!limit || stream_id == 0) return fail(errc::bad_control_frame);
    if (*limit > credit_limit_max) return fail(errc::credit_too_large);
    const auto s = table_.find(stream_id);
    if (!s) {
        if (never_opened(stream_id)) fail(errc::frame_before_syn);
        return;
    }
    const auto before = s->send.limit();
    const bool raised = s->send.on_credit(*limit);
    if (credits_repeated_ > 0)
        --credits_repeated_;
    else if (*limit < before + tiny_credit && !flood_.credits.take(now_))
        return fail(errc::flood_of_credits);
    if (raised) schedule(*s);
}

void session::on_goaway(bytes_view payload) {
    const auto frame = decode_goaway(payload);
    if (!frame) return fail(errc::bad_control_frame);
    if (goaway_received_) return;
    goaway_received_ = true;
    peer_text_ = frame->text;
    emit(event::kind::goaway, nullptr, errc::going_away);
    // Streams that have not begun begin elsewhere.
    while (!opening_.empty())
        end_stream(*opening_.front(), errc::going_away);
    // Nor does the server take those that have crossed it, whatever it still says of them.
    for (auto s = all_; s; s = s->all_next)
        if (s->opened() && !s->closed && s->id > frame->last_stream)
            end_stream(*s, errc::going_away);
}

void session::on_peer_close(bytes_view payload) {
    const auto frame = decode_close(payload);
    if (!frame) return fail(errc::bad_control_frame);
    peer_text_ = frame->text;
    attached_ = false; // Nothing is answered.
    close(close_code::normal, errc::closed_by_peer, {});
}

} // namespace muxsocks
