#include "protocol/session/handshake.hpp"

#include <algorithm>

namespace muxsocks {

handshake::outcome handshake::begin(bytes_view exporter, instant now) {
    at_ = step::hello;
    proofs_.on_first_link(exporter);
    agreed_.stream_limit = settings_.max_streams;
    agreed_.user = settings_.user;
    sent_ = now;
    deadline_ = now + settings_.handshake_timeout;
    if (!client()) return {};
    std::uint32_t features = feature::notice;
    if (settings_.channel_binding) features |= feature::channel_binding;
    if (settings_.resume) features |= feature::resume;
    if (settings_.datagrams) features |= feature::datagrams;
    auto hello = make_hello(features);
    proofs_.on_client_hello(hello);
    return {{}, std::move(hello), {}};
}

std::vector<std::uint8_t> handshake::make_hello(std::uint32_t features) const {
    hello_frame hello;
    hello.features = features;
    hello.initial_window = settings_.unasked_window;
    hello.max_streams = client() ? 0 : settings_.max_streams;
    hello.max_links = settings_.max_links;
    if (!client()) hello.join_at = settings_.join_at;
    settings_.crypto.random_bytes(hello.nonce);
    return encode(hello);
}

handshake::outcome handshake::on_control(control_type type, bytes_view payload, instant now) {
    if (at_ == step::hello && type == control_type::hello) return on_hello(payload, now);
    if (at_ == step::auth && !client() && type == control_type::auth) return on_auth(payload, now);
    if (at_ == step::auth && client() && type == control_type::auth_ok) return on_auth_ok(payload);
    if (at_ == step::auth && client() && type == control_type::auth_fail)
        return {decode_auth_fail(payload) ? errc::authentication_failed : errc::bad_control_frame,
                {},
                {}};
    return {errc::control_out_of_order, {}, {}};
}

void handshake::agree(const hello_frame& theirs, std::uint32_t features) {
    agreed_.peer_window = theirs.initial_window;
    agreed_.peer_max_streams = theirs.max_streams;
    agreed_.resumable = (features & feature::resume) != 0;
    agreed_.notices = (features & feature::notice) != 0;
    agreed_.datagrams = settings_.datagrams && (features & feature::datagrams) != 0;
    agreed_.max_links = std::min(settings_.max_links, theirs.max_links);
    agreed_.keeps = agreed_.resumable || agreed_.max_links > 1;
    agreed_.join_at = theirs.join_at;
}

handshake::outcome handshake::on_hello(bytes_view payload, instant now) {
    const auto hello = decode_hello(payload);
    if (!hello) return {errc::bad_control_frame, {}, {}};
    if (hello->version < 2 || (client() && hello->version != 2))
        return {errc::version_mismatch, {}, {}};
    const bool binds = (hello->features & feature::channel_binding) != 0;
    if (binds != settings_.channel_binding) return {errc::binding_mismatch, {}, {}};
    deadline_ = now + settings_.handshake_timeout;
    at_ = step::auth;
    if (!client()) {
        auto features = hello->features & (feature::channel_binding | feature::notice);
        if (settings_.resume && settings_.resume_timeout_ms > 0)
            features |= hello->features & feature::resume;
        if (settings_.datagrams) features |= hello->features & feature::datagrams;
        agree(*hello, features);
        proofs_.on_client_hello(payload);
        auto answer = make_hello(features);
        proofs_.on_server_hello(answer);
        sent_ = now;
        return {{}, std::move(answer), {}};
    }
    agree(*hello, settings_.resume ? hello->features : hello->features & ~feature::resume);
    proofs_.on_server_hello(payload);
    auth_frame auth;
    auth.method = settings_.key ? 1 : 0;
    auth.user = settings_.user;
    auth.mac = proofs_.client_mac(auth.method, auth.user, settings_.key.value_or(digest{}));
    return {{}, encode(auth), now - sent_};
}

handshake::outcome handshake::on_auth(bytes_view payload, instant now) {
    const auto auth = decode_auth(payload);
    if (!auth) return {errc::bad_control_frame, {}, {}};
    agreed_.user = auth->user;
    auto access = settings_.find_user ? settings_.find_user(auth->user) : std::nullopt;
    const bool known = access.has_value();
    // An unknown user costs the same time as a wrong token.
    if (!known) access.emplace();
    const bool method_fits = (auth->method == 0) == (access->key == digest{});
    const auto expected = proofs_.client_mac(auth->method, auth->user, access->key);
    const bool proven = equal_in_constant_time(expected, auth->mac);
    if (!known || !method_fits || !proven)
        return {errc::authentication_failed, encode_auth_fail(), {}};
    if (access->max_streams != 0)
        agreed_.stream_limit = std::min(settings_.max_streams, access->max_streams);
    auth_ok_frame answer;
    settings_.crypto.random_bytes(answer.id);
    answer.resume_timeout_ms = agreed_.resumable ? settings_.resume_timeout_ms : 0;
    answer.mac = proofs_.server_mac(answer);
    agreed_.resume_timeout_ms = answer.resume_timeout_ms;
    proofs_.establish(answer.id);
    at_ = step::done;
    return {{}, encode(answer), now - sent_};
}

handshake::outcome handshake::on_auth_ok(bytes_view payload) {
    const auto answer = decode_auth_ok(payload);
    if (!answer) return {errc::bad_control_frame, {}, {}};
    const auto expected = proofs_.server_mac(*answer);
    if (!equal_in_constant_time(expected, answer->mac)) return {errc::bad_server_proof, {}, {}};
    agreed_.resume_timeout_ms = answer->resume_timeout_ms;
    if (answer->resume_timeout_ms == 0) agreed_.resumable = false;
    proofs_.establish(answer->id);
    at_ = step::done;
    return {};
}

void handshake::skip() {
    at_ = step::done;
    agreed_.peer_window = agreed_.peer_max_streams = 0xffff'ffff;
    agreed_.stream_limit = settings_.max_streams;
    agreed_.resumable = agreed_.keeps = agreed_.notices = agreed_.datagrams = false;
    agreed_.max_links = 1;
}

} // namespace muxsocks
