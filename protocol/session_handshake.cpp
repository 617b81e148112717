// How a session begins, and how it goes on on a new link.

#include "protocol/session.hpp"

#include <algorithm>

namespace muxsocks {

void session::on_link(bytes_view exporter, instant now) {
    now_ = now;
    attached_ = true;
    state_ = state::hello;
    transcript_.exporter.assign(exporter.begin(), exporter.end());
    handshake_deadline_ = now + settings_.handshake_timeout;
    keepalive_.on_link(now);
    hello_sent_ = now;
    if (settings_.side == role::server) return;
    std::uint32_t features = 0;
    if (settings_.channel_binding) features |= feature::channel_binding;
    if (settings_.resume) features |= feature::resume;
    transcript_.client_hello = encode(make_hello(features));
    queue_control(0, transcript_.client_hello);
}

hello_frame session::make_hello(std::uint32_t features) {
    hello_frame hello;
    hello.features = features;
    hello.initial_window = settings_.initial_window;
    hello.max_streams = settings_.side == role::server ? settings_.max_streams : 0;
    settings_.crypto.random_bytes(hello.nonce);
    return hello;
}

void session::on_hello(bytes_view payload) {
    const auto hello = decode_hello(payload);
    if (!hello) return fail(errc::bad_control_frame);
    if (hello->version < 2) return fail(errc::version_mismatch);
    const bool peer_binds = (hello->features & feature::channel_binding) != 0;
    if (peer_binds != settings_.channel_binding) return fail(errc::binding_mismatch);
    peer_window_ = hello->initial_window;
    peer_max_streams_ = hello->max_streams;
    handshake_deadline_ = now_ + settings_.handshake_timeout;
    if (settings_.side == role::server)
        on_client_hello(*hello, payload);
    else
        on_server_hello(*hello, payload);
}

void session::on_client_hello(const hello_frame& hello, bytes_view payload) {
    transcript_.client_hello.assign(payload.begin(), payload.end());
    std::uint32_t features = hello.features & feature::channel_binding;
    if (settings_.resume && settings_.resume_timeout_ms > 0)
        features |= hello.features & feature::resume;
    resumable_ = (features & feature::resume) != 0;
    replay_.keep(resumable_);
    transcript_.server_hello = encode(make_hello(features));
    queue_control(0, transcript_.server_hello);
    hello_sent_ = now_;
    state_ = state::auth;
}

void session::on_server_hello(const hello_frame& hello, bytes_view payload) {
    if (hello.version != 2) return fail(errc::version_mismatch);
    keepalive_.seed_rtt(now_ - hello_sent_);
    transcript_.server_hello.assign(payload.begin(), payload.end());
    resumable_ = settings_.resume && (hello.features & feature::resume) != 0;
    replay_.keep(resumable_);
    auth_frame auth;
    auth.method = settings_.key ? 1 : 0;
    auth.user = settings_.user;
    key_ = settings_.key.value_or(digest{});
    t_ = transcript_.hash(settings_.crypto, auth.method, auth.user);
    auth.mac = client_auth_mac(settings_.crypto, key_, t_);
    queue_control(0, encode(auth));
    auth_sent_ = true; // Streams follow right behind.
    state_ = state::auth;
}

void session::on_auth(bytes_view payload) {
    const auto auth = decode_auth(payload);
    if (!auth) return fail(errc::bad_control_frame);
    keepalive_.seed_rtt(now_ - hello_sent_);
    settings_.user = auth->user;
    auto access = settings_.find_user ? settings_.find_user(auth->user) : std::nullopt;
    const bool known = access.has_value();
    // An unknown user costs the same time as a wrong token.
    if (!known) access.emplace();
    key_ = access->key;
    const bool method_fits = (auth->method == 0) == (key_ == digest{});
    t_ = transcript_.hash(settings_.crypto, auth->method, auth->user);
    const auto expected = client_auth_mac(settings_.crypto, key_, t_);
    const bool proven = equal_in_constant_time(expected, auth->mac);
    if (!known || !method_fits || !proven) {
        queue_control(0, encode_auth_fail(1));
        state_ = state::closed;
        error_ = errc::authentication_failed;
        return emit(event::kind::closed, nullptr, error_);
    }
    if (access->max_streams != 0)
        stream_limit_ = std::min(settings_.max_streams, access->max_streams);
    auth_ok_frame answer;
    settings_.crypto.random_bytes(answer.id);
    answer.resume_timeout_ms = resumable_ ? settings_.resume_timeout_ms : 0;
    answer.mac = server_auth_mac(settings_.crypto, key_, t_, answer);
    id_ = answer.id;
    queue_control(0, encode(answer));
    establish();
}

void session::on_auth_ok(bytes_view payload) {
    const auto answer = decode_auth_ok(payload);
    if (!answer) return fail(errc::bad_control_frame);
    const auto expected = server_auth_mac(settings_.crypto, key_, t_, *answer);
    if (!equal_in_constant_time(expected, answer->mac)) return fail(errc::bad_server_proof);
    id_ = answer->id;
    settings_.resume_timeout_ms = answer->resume_timeout_ms;
    if (answer->resume_timeout_ms == 0) {
        resumable_ = false;
        replay_.keep(false);
    }
    establish();
}

void session::establish() {
    state_ = state::established;
    if (resumable_) resume_secret_ = resume_secret(settings_.crypto, key_, t_, id_);
    emit(event::kind::established);
}

void session::begin_v1() {
    version_ = 1;
    resumable_ = false;
    peer_window_ = 0xffff'ffff;
    peer_max_streams_ = 0xffff'ffff;
    outbox_.clear();
    establish();
}

// ---- Resumption

std::vector<std::uint8_t> session::make_resume(bytes_view exporter, instant now) {
    now_ = now;
    resume_frame frame;
    frame.id = id_;
    frame.epoch = ++epoch_;
    frame.recv_frames = recv_frames_;
    settings_.crypto.random_bytes(frame.nonce);
    frame.proof = client_resume_proof(settings_.crypto, resume_secret_, frame, exporter);
    asked_ = frame;
    asked_exporter_.assign(exporter.begin(), exporter.end());
    leading_ = {};
    return control_frame(encode(frame));
}

session::resume_answer session::on_resume_answer(bytes_view bytes, instant now) {
    now_ = now;
    resume_answer result;
    const auto faulty = [&result](errc why) {
        result.status = resume_status::fault;
        result.error = why;
        return result;
    };
    if (state_ == state::closed) return faulty(errc::closed_locally);
    bytes_view payload;
    do {
        const auto rest = bytes.subspan(result.used);
        if (rest.size() < frame_header_size) return result;
        const auto header = decode_header(rest.data());
        if (header == frame_header{0, flag::rst, 0}) return faulty(errc::link_lost);
        if (const auto error = check_header(header, 2))
            return faulty(static_cast<errc>(error.value()));
        if (header.flags != flag::ctrl) return faulty(errc::control_out_of_order);
        // An extension may be anywhere; the answer is on stream 0.
        if (rest.size() == frame_header_size) return result;
        const bool ignored = rest[frame_header_size] >= control_ignorable_from;
        if (!ignored && header.stream_id != 0) return faulty(errc::control_out_of_order);
        if (rest.size() < frame_header_size + header.length) return result;
        payload = rest.subspan(frame_header_size, header.length);
        if (ignored && !leading_.take(frame_header_size + payload.size()))
            return faulty(errc::control_out_of_order);
        result.used += frame_header_size + header.length;
    } while (payload[0] >= control_ignorable_from);
    if (payload[0] == static_cast<std::uint8_t>(control_type::resume_fail)) {
        const auto failure = decode_resume_fail(payload);
        if (!failure) return faulty(errc::bad_control_frame);
        result.status = resume_status::failed;
        result.failure = *failure;
        return result;
    }
    if (payload[0] != static_cast<std::uint8_t>(control_type::resume_ok) || !asked_)
        return faulty(errc::control_out_of_order);
    const auto answer = decode_resume_ok(payload);
    if (!answer || answer->epoch != asked_->epoch) return faulty(errc::bad_control_frame);
    const auto expected =
        server_resume_proof(settings_.crypto, resume_secret_, *asked_, *answer, asked_exporter_);
    if (!equal_in_constant_time(expected, answer->proof)) return faulty(errc::bad_server_proof);
    attach(answer->recv_frames, now);
    recv_next_ = answer->first_frame;
    asked_.reset();
    if (state_ != state::closed && recv_next_ > recv_frames_ + 1) fail(errc::replay_gap);
    result.status = resume_status::resumed;
    return result;
}

std::optional<resume_fail_frame> session::on_resume(const resume_frame& frame, bytes_view exporter,
                                                    instant now) {
    now_ = now;
    const auto expected = client_resume_proof(settings_.crypto, resume_secret_, frame, exporter);
    const bool proven = equal_in_constant_time(expected, frame.proof);
    // An old epoch is somebody's recording, or an attempt that its client has given up: one learns
    // nothing from the answer, the other does not read it.
    if (!proven || !resumable() || frame.version != 2 || frame.epoch <= epoch_)
        return resume_fail_frame{resume_failure::unknown_session, 0};
    epoch_ = frame.epoch;
    if (frame.recv_frames > replay_.sent_frames()) {
        fail(errc::ack_beyond_sent);
        return resume_fail_frame{resume_failure::position_lost, 0};
    }
    asked_ = frame;
    asked_exporter_.assign(exporter.begin(), exporter.end());
    attach(frame.recv_frames, now);
    asked_.reset();
    return {};
}

void session::attach(std::uint64_t peer_received, instant now) {
    frames_left_ = false;
    attached_ = true;
    partial_since_.reset();
    outbox_.clear();
    pongs_due_ = 0;
    keepalive_.on_link(now);
    ++statistics_.resumptions;
    if (peer_received > replay_.sent_frames()) return fail(errc::ack_beyond_sent);
    const auto first = replay_.start_replay(peer_received);
    blocked_ = false;
    unacked_since_ = replay_.empty() ? std::nullopt : std::optional(now);
    acked_to_peer_ = recv_frames_;
    if (settings_.side == role::server) {
        resume_ok_frame answer;
        answer.epoch = epoch_;
        answer.recv_frames = recv_frames_;
        answer.first_frame = first;
        answer.proof =
            server_resume_proof(settings_.crypto, resume_secret_, *asked_, answer, asked_exporter_);
        queue_control(0, encode(answer));
        awaiting_start_ = true;
        start_deadline_ = now + settings_.handshake_timeout;
        recv_next_ = recv_frames_ + 1;
    } else {
        std::array<std::uint8_t, 9> start{static_cast<std::uint8_t>(control_type::start)};
        store_u64(start.data() + 1, first);
        queue_control(0, start);
        // The old link may have brought more since RESUME was made.
        acked_to_peer_ = asked_->recv_frames;
    }
    bytes_since_ack_ = 0;
    ack_due_ = recv_frames_ > acked_to_peer_;
    ack_deadline_.reset();
    credits_repeated_ = table_.size();
    // Grants may have been lost with the old link; they are absolute, so they are sent again.
    table_.for_each([this](stream& s) {
        if (s.recv.announced() > settings_.initial_window && !s.fin_received) list_credit(s);
    });
    if (goaway_) queue_control(0, encode(*goaway_));
    emit(event::kind::resumed);
}

void session::on_start(bytes_view payload) {
    const auto first = decode_u64(payload);
    if (!first || *first == 0) return fail(errc::bad_control_frame);
    if (!awaiting_start_) return fail(errc::control_out_of_order);
    if (*first > recv_frames_ + 1) return fail(errc::replay_gap);
    awaiting_start_ = false;
    recv_next_ = *first;
}

} // namespace muxsocks
