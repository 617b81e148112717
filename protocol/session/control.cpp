#include "protocol/session/control.hpp"

#include "protocol/fields.hpp"
#include "protocol/frame.hpp"

namespace muxsocks {
namespace {

std::string_view cut(const std::string& text, std::size_t size_max) {
    return std::string_view(text).substr(0, size_max);
}

/// The rest of the payload as a text of at most 255 bytes.
bool read_text(field_reader& in, std::string& text) {
    if (in.left() > 255) return false;
    text = in.text(in.left());
    return in.done();
}

template <typename Frame>
std::optional<Frame> when(bool good, Frame& frame) {
    return good ? std::optional<Frame>(std::move(frame)) : std::nullopt;
}

} // namespace

// ---- Encoding

std::vector<std::uint8_t> encode(const hello_frame& f) {
    field_writer out(control_type::hello);
    out.u8(f.version).u32(f.features).u32(f.initial_window).u32(f.max_streams).bytes(f.nonce);
    if (f.max_links != 1) out.u8(hello_frame::tlv_max_links).u16(1).u8(f.max_links);
    const auto at = cut(f.join_at, hello_frame::join_at_max);
    if (!at.empty())
        out.u8(hello_frame::tlv_join_at).u16(static_cast<std::uint16_t>(at.size())).text(at);
    return out.done();
}

std::vector<std::uint8_t> encode(const join_frame& f) {
    return field_writer(control_type::join)
        .u8(f.version)
        .bytes(f.id)
        .u32(f.number)
        .bytes(f.proof)
        .done();
}

std::vector<std::uint8_t> encode(const join_ok_frame& f) {
    return field_writer(control_type::join_ok).u32(f.number).bytes(f.proof).done();
}

std::vector<std::uint8_t> encode(const join_fail_frame& f) {
    return field_writer(control_type::join_fail)
        .u8(static_cast<std::uint8_t>(f.code))
        .u32(f.retry_ms)
        .done();
}

std::vector<std::uint8_t> encode(const drop_frame& f) {
    return field_writer(control_type::drop).u32(f.number).u64(f.frames).done();
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
        .u16(f.detail)
        .text(cut(f.text, close_frame::text_max))
        .done();
}

std::vector<std::uint8_t> encode(const notice_frame& f) {
    return field_writer(control_type::notice)
        .u16(f.code)
        .u32(f.retry_after_s)
        .text(cut(f.text, notice_frame::text_max))
        .done();
}

std::vector<std::uint8_t> encode_auth_fail() {
    return field_writer(control_type::auth_fail).u8(1).done();
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

std::vector<std::uint8_t> control_frame(bytes_view payload) {
    std::vector<std::uint8_t> out(frame_header_size + payload.size());
    encode_header(out.data(), {0, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
    return out;
}

// ---- Decoding

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

std::optional<std::uint64_t> decode_u64(bytes_view payload) {
    field_reader in(payload);
    const auto value = in.u64();
    if (!in.done()) return {};
    return value;
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
        const auto type = in.u8();
        const std::size_t size = in.u16();
        if (type == hello_frame::tlv_max_links) {
            if (size != 1) return {};
            f.max_links = in.u8();
        } else if (type == hello_frame::tlv_join_at) {
            if (size == 0 || size > hello_frame::join_at_max) return {};
            f.join_at = in.text(size);
        } else {
            in.skip(size);
        }
    }
    return when(in.ok() && f.version != 0 && f.max_links != 0, f);
}

bool decode_auth_fail(bytes_view payload) {
    field_reader in(payload);
    return in.u8() == 1 && in.done();
}

std::optional<join_frame> decode_join(bytes_view payload) {
    field_reader in(payload);
    join_frame f;
    f.version = in.u8();
    f.id = in.bytes<16>();
    f.number = in.u32();
    f.proof = in.bytes<32>();
    return when(in.done(), f);
}

std::optional<join_ok_frame> decode_join_ok(bytes_view payload) {
    field_reader in(payload);
    join_ok_frame f;
    f.number = in.u32();
    f.proof = in.bytes<32>();
    return when(in.done(), f);
}

std::optional<join_fail_frame> decode_join_fail(bytes_view payload) {
    field_reader in(payload);
    const auto code = in.u8();
    join_fail_frame f{static_cast<join_failure>(code), in.u32()};
    return when(in.done() && code >= 1 && code <= 3, f);
}

std::optional<drop_frame> decode_drop(bytes_view payload) {
    field_reader in(payload);
    drop_frame f;
    f.number = in.u32();
    f.frames = in.u64();
    return when(in.done(), f);
}

std::optional<goaway_frame> decode_goaway(bytes_view payload) {
    field_reader in(payload);
    goaway_frame f;
    f.last_stream = in.u32();
    f.code = in.u8();
    f.drain_ms = in.u32();
    return when(read_text(in, f.text), f);
}

std::optional<close_frame> decode_close(bytes_view payload) {
    field_reader in(payload);
    close_frame f;
    f.code = in.u8();
    f.detail = in.u16();
    return when(read_text(in, f.text), f);
}

std::optional<notice_frame> decode_notice(bytes_view payload) {
    field_reader in(payload);
    notice_frame f;
    f.code = in.u16();
    f.retry_after_s = in.u32();
    return when(read_text(in, f.text), f);
}

} // namespace muxsocks
