#include "socks5/handshake.hpp"

#include "socks5/error.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace muxsocks::socks5 {

void reply_bytes::push(std::initializer_list<std::uint8_t> bytes) {
    assert(size_ + bytes.size() <= bytes_.size());
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + size_);
    size_ = static_cast<std::uint8_t>(size_ + bytes.size());
}

server_handshake::server_handshake(credential_check check, accepted_commands accepted)
    : check_{std::move(check)}, accepted_{accepted} {}

bool server_handshake::accepts(command cmd) const {
    const bool resolves = cmd == command::resolve || cmd == command::resolve_ptr;
    return cmd == command::connect || (resolves && accepted_.resolve) ||
           (cmd == command::udp_associate && accepted_.udp_associate);
}

handshake_result server_handshake::on_input(std::span<const std::uint8_t> input) {
    handshake_result result;
    while (state_ == handshake_state::need_more && result.used < input.size()) {
        auto bytes = input.subspan(result.used);
        const std::size_t kept = partial_.size();
        if (kept > 0) {
            const auto more = bytes.first(std::min(bytes.size(), message_bytes_max - kept));
            // Not insert(), about whose growth GCC 14 warns without need.
            std::copy(more.begin(), more.end(), std::back_inserter(partial_));
            bytes = partial_;
        }
        const std::size_t used = take_message(bytes, result);
        if (state_ == handshake_state::failed) {
            result.used = input.size();
        } else if (used == 0) {
            if (kept == 0) {
                partial_.reserve(message_bytes_max);
                partial_.assign(bytes.begin(), bytes.end());
            }
            result.used = input.size();
        } else {
            // What was kept was not the whole message, so it ends in this input.
            assert(used > kept);
            result.used += used - kept;
            partial_.clear();
        }
    }
    result.state = state_;
    return result;
}

/// Handles the one message that is due, if it is complete. Returns its size, or 0 if more is needed
/// or it is wrong.
std::size_t server_handshake::take_message(std::span<const std::uint8_t> bytes,
                                           handshake_result& result) {
    switch (stage_) {
    case stage::greeting:
        return take_greeting(bytes, result);
    case stage::password:
        return take_password(bytes, result);
    case stage::request:
        return take_request_message(bytes, result);
    }
    return 0;
}

std::size_t server_handshake::take_greeting(std::span<const std::uint8_t> bytes,
                                            handshake_result& result) {
    const auto parsed = parse_greeting(bytes);
    if (parsed.status == parse_status::failed) fail(result, parsed.error);
    if (parsed.status != parse_status::done) return 0;
    // Applications in which a user name was entered offer nothing else, also where nobody asks.
    const bool insists =
        !parsed.value.offers(auth_method::none) && parsed.value.offers(auth_method::password);
    const auto wanted = check_ || insists ? auth_method::password : auth_method::none;
    if (!parsed.value.offers(wanted)) {
        result.to_send.push({0x05, static_cast<std::uint8_t>(auth_method::no_acceptable)});
        fail(result, check_ ? errc::password_required : errc::no_acceptable_method);
        return 0;
    }
    result.to_send.push({0x05, static_cast<std::uint8_t>(wanted)});
    stage_ = wanted == auth_method::password ? stage::password : stage::request;
    return parsed.used;
}

std::size_t server_handshake::take_password(std::span<const std::uint8_t> bytes,
                                            handshake_result& result) {
    const auto parsed = parse_password_request(bytes);
    if (parsed.status == parse_status::need_more) return 0;
    if (parsed.status == parse_status::failed ||
        (check_ && !check_(parsed.value.uname, parsed.value.passwd))) {
        result.to_send.push({0x01, 0x01});
        fail(result, parsed.error ? parsed.error : make_error_code(errc::password_rejected));
        return 0;
    }
    result.to_send.push({0x01, 0x00});
    stage_ = stage::request;
    return parsed.used;
}

std::size_t server_handshake::take_request_message(std::span<const std::uint8_t> bytes,
                                                   handshake_result& result) {
    auto parsed = parse_request(bytes);
    if (parsed.status == parse_status::failed) refuse(result, parsed.error);
    if (parsed.status != parse_status::done) return 0;
    if (!accepts(parsed.value.cmd)) {
        request_ = std::move(parsed.value);
        refuse(result, errc::command_not_supported);
        return 0;
    }
    request_ = std::move(parsed.value);
    state_ = handshake_state::request_ready;
    return parsed.used;
}

void server_handshake::fail(handshake_result& result, std::error_code error) {
    state_ = handshake_state::failed;
    result.error = error;
}

/// Fails with a reply, its BND 0.0.0.0:0.
void server_handshake::refuse(handshake_result& result, std::error_code error) {
    result.rep = reply_code_from(error);
    result.to_send.push(
        {0x05, static_cast<std::uint8_t>(result.rep), 0x00, 0x01, 0, 0, 0, 0, 0, 0});
    fail(result, error);
}

} // namespace muxsocks::socks5
