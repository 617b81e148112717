// What arrives in control frames.

#include "protocol/session/session.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

constexpr std::uint64_t tiny_credit = 1024;

} // namespace

void session::on_ping(link_state& l, bytes_view payload) {
    if (!flood_.pings.take(now_)) return fail(errc::flood_of_pings);
    if (version_ >= 2) {
        l.pong_token = load_u64(payload.data());
        l.pongs_due = 1;
        on_asked(l);
    } else {
        ++l.pongs_due; // No token says which PING a PONG is for. The flood's limit bounds them.
    }
}

void session::on_control(link_state& l, std::uint32_t id, bytes_view payload) {
    if (payload[0] >= control_ignorable_from) return on_extension(id, payload);
    const auto type = static_cast<control_type>(payload[0]);
    if (type == control_type::close && id == 0) return on_peer_close(payload);
    if (!handshake_.done()) {
        if (id != 0) return fail(errc::control_out_of_order);
        return on_handshake(l, type, payload);
    }
    if (type == control_type::credit) return on_credit(id, payload);
    switch (type) {
    case control_type::ack:
    case control_type::drop:
        if (id != 0) return fail(errc::bad_control_frame);
        break;
    case control_type::goaway: // Only servers send it.
        if (!client()) return fail(errc::control_out_of_order);
        if (id != 0) return fail(errc::bad_control_frame);
        break;
    case control_type::hello:
    case control_type::auth:
    case control_type::auth_ok:
    case control_type::auth_fail:
    case control_type::join:
    case control_type::join_ok:
    case control_type::join_fail:
    case control_type::close:
        return fail(errc::control_out_of_order);
    default:
        return fail(errc::unknown_control_frame);
    }
    if (type == control_type::ack) {
        const auto frames = decode_u64(payload);
        return frames ? on_ack(l, *frames) : fail(errc::bad_control_frame);
    }
    if (agreed().keeps) l.brought.on_frame(frame_header_size + payload.size(), now_);
    if (type == control_type::drop)
        on_drop(l, payload);
    else
        on_goaway(payload);
}

void session::on_handshake(link_state& l, control_type type, bytes_view payload) {
    const auto before = handshake_.at();
    auto outcome = handshake_.on_control(type, payload, now_);
    if (outcome.rtt) l.alive.seed_rtt(*outcome.rtt);
    if (outcome.fault == errc::authentication_failed) {
        if (!client()) queue_control(l, 0, outcome.answer);
        return finish_session(errc::authentication_failed);
    }
    if (outcome.fault) return fail(*outcome.fault);
    if (!outcome.answer.empty()) queue_control(l, 0, outcome.answer);
    if (before == handshake::step::hello) {
        l.kept.keep(agreed().keeps);
        size_credit_flood();
    }
    if (handshake_.done()) emit(event::kind::established);
    on_links_changed();
}

void session::size_credit_flood() {
    const auto most =
        2.0 * std::max(agreed().peer_max_streams, client() ? 0 : settings_.max_streams);
    flood_.credits = token_bucket(settings_.flood.credits_per_second,
                                  std::max(settings_.flood.credits_burst, most));
}

void session::on_extension(std::uint32_t id, bytes_view payload) {
    if (handshake_.at() == handshake::step::hello) {
        if (handshake_.on_extension(frame_header_size + payload.size()))
            fail(errc::control_out_of_order);
        return;
    }
    if (static_cast<control_type>(payload[0]) == control_type::datagram && agreed().datagrams)
        return datagrams_.on_frame(id, payload);
    const bool notice = static_cast<control_type>(payload[0]) == control_type::notice;
    if (!notice || !agreed().notices || !client()) {
        if (!flood_.extensions.take(now_)) fail(errc::flood_of_extensions);
        return;
    }
    auto told = decode_notice(payload);
    if (!told) return fail(errc::bad_control_frame);
    const auto s = id == 0 ? nullptr : streams_.table.find(id);
    if ((id != 0 && (!s || s->released)) || !flood_.extensions.take(now_)) return;
    notices_.push_back(std::move(*told));
    emit(event::kind::notice, s);
}

void session::on_credit(std::uint32_t id, bytes_view payload) {
    const auto limit = decode_u64(payload);
    if (!limit || id == 0) return fail(errc::bad_control_frame);
    if (*limit > credit_limit_max) return fail(errc::credit_too_large);
    const auto s = find_or_open(id, true);
    if (!s) return;
    const auto before = s->send.limit();
    const bool raised = s->send.on_credit(*limit);
    if (*limit < before + tiny_credit && !flood_.credits.take(now_))
        return fail(errc::flood_of_credits);
    if (raised) schedule(*s);
}

void session::on_goaway(bytes_view payload) {
    const auto frame = decode_goaway(payload);
    if (!frame) return fail(errc::bad_control_frame);
    if (goaway_received_) return;
    goaway_received_ = true;
    goaway_ = *frame;
    peer_text_ = frame->text;
    emit(event::kind::goaway, nullptr, errc::going_away);
    // Streams that have not begun begin elsewhere, and those that are refused as well.
    while (!waiting_.opening.empty())
        end_stream(*waiting_.opening.front(), errc::going_away);
    std::vector<stream*> refused;
    streams_.table.for_each([&](stream& s) {
        if (s.id > frame->last_stream) refused.push_back(&s);
    });
    for (const auto s : refused)
        end_stream(*s, errc::going_away);
}

void session::on_peer_close(bytes_view payload) {
    const auto frame = decode_close(payload);
    if (!frame) return fail(errc::bad_control_frame);
    peer_text_ = frame->text;
    peer_detail_ = frame->detail;
    for (const auto& l : links_) // Nothing is answered.
        l->outbox.clear();
    finish_session(errc::closed_by_peer);
}

} // namespace muxsocks
