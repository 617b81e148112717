#include "protocol/control.hpp"

#include "protocol/fields.hpp"
#include "protocol/frame.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

std::string_view cut(const std::string& text, std::size_t size_max) {
    return std::string_view(text).substr(0, size_max);
}

} // namespace

std::vector<std::uint8_t> encode(const hello_frame& f) {
    return field_writer(control_type::hello)
        .u8(f.version)
        .u32(f.features)
        .u32(f.initial_window)
        .u32(f.max_streams)
        .bytes(f.nonce)
        .done();
}

std::vector<std::uint8_t> encode(const auth_frame& f) {
    const auto user = cut(f.user, 255);
    return field_writer(control_type::auth)
        .u8(f.method)
        .u8(static_cast<std::uint8_t>(user.size()))
        .text(user)
        .bytes(f.mac)
        .done();
}

std::vector<std::uint8_t> encode(const auth_ok_frame& f) {
    return field_writer(control_type::auth_ok)
        .bytes(f.id)
        .u32(f.resume_timeout_ms)
        .bytes(f.mac)
        .done();
}

std::vector<std::uint8_t> encode(const resume_frame& f) {
    return field_writer(control_type::resume)
        .u8(f.version)
        .bytes(f.id)
        .u32(f.epoch)
        .u64(f.recv_frames)
        .bytes(f.nonce)
        .bytes(f.proof)
        .done();
}

std::vector<std::uint8_t> encode(const resume_ok_frame& f) {
    return field_writer(control_type::resume_ok)
        .u32(f.epoch)
        .u64(f.recv_frames)
        .u64(f.first_frame)
        .bytes(f.proof)
        .done();
}

std::vector<std::uint8_t> encode(const resume_fail_frame& f) {
    return field_writer(control_type::resume_fail)
        .u8(static_cast<std::uint8_t>(f.code))
        .u32(f.retry_ms)
        .done();
}

std::vector<std::uint8_t> encode(const goaway_frame& f) {
    return field_writer(control_type::goaway)
        .u32(f.last_stream)
        .u8(f.code)
        .u32(f.drain_ms)
        .text(cut(f.text, goaway_frame::text_max))
        .done();
}

std::vector<std::uint8_t> encode(const close_frame& f) {
    return field_writer(control_type::close)
        .u8(f.code)
        .text(cut(f.text, close_frame::text_max))
        .done();
}

std::vector<std::uint8_t> encode_auth_fail(std::uint8_t code) {
    return field_writer(control_type::auth_fail).u8(code).done();
}

std::vector<std::uint8_t> control_frame(bytes_view payload) {
    std::vector<std::uint8_t> out(frame_header_size + payload.size());
    encode_header(out.data(), {0, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
    return out;
}

std::optional<hello_frame> decode_hello(bytes_view payload) {
    if (payload.size() > hello_frame::size_max) return {};
    field_reader in(payload);
    hello_frame f;
    f.version = in.u8();
    f.features = in.u32();
    f.initial_window = in.u32();
    f.max_streams = in.u32();
    f.nonce = in.bytes<16>();
    for (std::size_t tlvs = 0; in.ok() && in.left() > 0; ++tlvs) {
        if (tlvs == hello_frame::tlvs_max) return {};
        in.u8();
        in.skip(in.u16());
    }
    if (!in.ok() || f.version == 0) return {};
    return f;
}

std::optional<auth_frame> decode_auth(bytes_view payload) {
    field_reader in(payload);
    auth_frame f;
    f.method = in.u8();
    f.user = in.text(in.u8());
    f.mac = in.bytes<32>();
    if (!in.done() || f.method > 1) return {};
    return f;
}

std::optional<auth_ok_frame> decode_auth_ok(bytes_view payload) {
    field_reader in(payload);
    auth_ok_frame f;
    f.id = in.bytes<16>();
    f.resume_timeout_ms = in.u32();
    f.mac = in.bytes<32>();
    if (!in.done()) return {};
    return f;
}

std::optional<std::uint8_t> decode_auth_fail(bytes_view payload) {
    field_reader in(payload);
    const auto code = in.u8();
    if (!in.done() || code != 1) return {};
    return code;
}

std::optional<resume_frame> decode_resume(bytes_view payload) {
    field_reader in(payload);
    resume_frame f;
    f.version = in.u8();
    f.id = in.bytes<16>();
    f.epoch = in.u32();
    f.recv_frames = in.u64();
    f.nonce = in.bytes<16>();
    f.proof = in.bytes<32>();
    if (!in.done()) return {};
    return f;
}

std::optional<resume_ok_frame> decode_resume_ok(bytes_view payload) {
    field_reader in(payload);
    resume_ok_frame f;
    f.epoch = in.u32();
    f.recv_frames = in.u64();
    f.first_frame = in.u64();
    f.proof = in.bytes<32>();
    if (!in.done() || f.first_frame == 0) return {};
    return f;
}

std::optional<resume_fail_frame> decode_resume_fail(bytes_view payload) {
    field_reader in(payload);
    const auto code = in.u8();
    resume_fail_frame f{static_cast<resume_failure>(code), in.u32()};
    if (!in.done() || code < 1 || code > 4) return {};
    return f;
}

std::optional<goaway_frame> decode_goaway(bytes_view payload) {
    field_reader in(payload);
    goaway_frame f;
    f.last_stream = in.u32();
    f.code = in.u8();
    f.drain_ms = in.u32();
    if (in.left() > goaway_frame::text_max) return {};
    f.text = in.text(in.left());
    if (!in.done()) return {};
    return f;
}

std::optional<close_frame> decode_close(bytes_view payload) {
    field_reader in(payload);
    close_frame f;
    f.code = in.u8();
    if (in.left() > close_frame::text_max) return {};
    f.text = in.text(in.left());
    if (!in.done()) return {};
    return f;
}

std::optional<std::uint64_t> decode_u64(bytes_view payload) {
    field_reader in(payload);
    const auto value = in.u64();
    if (!in.done()) return {};
    return value;
}

} // namespace muxsocks
