#include "protocol/control.hpp"

#include "protocol/frame.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

class writer {
  public:
    explicit writer(control_type type) { u8(static_cast<std::uint8_t>(type)); }

    writer& u8(std::uint8_t v) {
        out_.push_back(v);
        return *this;
    }
    writer& u32(std::uint32_t v) {
        out_.resize(out_.size() + 4);
        store_u32(out_.data() + out_.size() - 4, v);
        return *this;
    }
    writer& u64(std::uint64_t v) {
        out_.resize(out_.size() + 8);
        store_u64(out_.data() + out_.size() - 8, v);
        return *this;
    }
    writer& bytes(bytes_view v) {
        out_.insert(out_.end(), v.begin(), v.end());
        return *this;
    }
    writer& text(std::string_view v) {
        out_.insert(out_.end(), v.begin(), v.end());
        return *this;
    }
    std::vector<std::uint8_t> done() { return std::move(out_); }

  private:
    std::vector<std::uint8_t> out_;
};

/// Reads fields one after another; after a field that is not whole, ok() stays false.
class reader {
  public:
    explicit reader(bytes_view payload) : rest_(payload) { take(1); }

    std::uint8_t u8() {
        const auto p = take(1);
        return p ? *p : std::uint8_t{0};
    }
    std::uint16_t u16() {
        const auto p = take(2);
        return p ? load_u16(p) : std::uint16_t{0};
    }
    std::uint32_t u32() {
        const auto p = take(4);
        return p ? load_u32(p) : 0;
    }
    std::uint64_t u64() {
        const auto p = take(8);
        return p ? load_u64(p) : 0;
    }
    template <std::size_t Size>
    std::array<std::uint8_t, Size> bytes() {
        std::array<std::uint8_t, Size> value{};
        if (const auto p = take(Size)) std::copy_n(p, Size, value.begin());
        return value;
    }
    std::string text(std::size_t size) {
        const auto p = take(size);
        return p ? std::string(p, p + size) : std::string();
    }
    void skip(std::size_t size) { take(size); }
    std::size_t left() const { return rest_.size(); }
    bool ok() const { return ok_; }
    bool done() const { return ok_ && rest_.empty(); }

  private:
    const std::uint8_t* take(std::size_t size) {
        if (!ok_ || rest_.size() < size) {
            ok_ = false;
            return nullptr;
        }
        const auto p = rest_.data();
        rest_ = rest_.subspan(size);
        return p;
    }

    bytes_view rest_;
    bool ok_ = true;
};

std::string_view cut(const std::string& text, std::size_t size_max) {
    return std::string_view(text).substr(0, size_max);
}

} // namespace

std::vector<std::uint8_t> encode(const hello_frame& f) {
    return writer(control_type::hello)
        .u8(f.version)
        .u32(f.features)
        .u32(f.initial_window)
        .u32(f.max_streams)
        .bytes(f.nonce)
        .done();
}

std::vector<std::uint8_t> encode(const auth_frame& f) {
    const auto user = cut(f.user, 255);
    return writer(control_type::auth)
        .u8(f.method)
        .u8(static_cast<std::uint8_t>(user.size()))
        .text(user)
        .bytes(f.mac)
        .done();
}

std::vector<std::uint8_t> encode(const auth_ok_frame& f) {
    return writer(control_type::auth_ok).bytes(f.id).u32(f.resume_timeout_ms).bytes(f.mac).done();
}

std::vector<std::uint8_t> encode(const resume_frame& f) {
    return writer(control_type::resume)
        .u8(f.version)
        .bytes(f.id)
        .u32(f.epoch)
        .u64(f.recv_frames)
        .bytes(f.nonce)
        .bytes(f.proof)
        .done();
}

std::vector<std::uint8_t> encode(const resume_ok_frame& f) {
    return writer(control_type::resume_ok)
        .u32(f.epoch)
        .u64(f.recv_frames)
        .u64(f.first_frame)
        .bytes(f.proof)
        .done();
}

std::vector<std::uint8_t> encode(const resume_fail_frame& f) {
    return writer(control_type::resume_fail)
        .u8(static_cast<std::uint8_t>(f.code))
        .u32(f.retry_ms)
        .done();
}

std::vector<std::uint8_t> encode(const goaway_frame& f) {
    return writer(control_type::goaway)
        .u32(f.last_stream)
        .u8(f.code)
        .u32(f.drain_ms)
        .text(cut(f.text, goaway_frame::text_max))
        .done();
}

std::vector<std::uint8_t> encode(const close_frame& f) {
    return writer(control_type::close).u8(f.code).text(cut(f.text, close_frame::text_max)).done();
}

std::vector<std::uint8_t> encode_auth_fail(std::uint8_t code) {
    return writer(control_type::auth_fail).u8(code).done();
}

std::vector<std::uint8_t> control_frame(bytes_view payload) {
    std::vector<std::uint8_t> out(frame_header_size + payload.size());
    encode_header(out.data(), {0, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
    return out;
}

std::optional<hello_frame> decode_hello(bytes_view payload) {
    if (payload.size() > hello_frame::size_max) return {};
    reader in(payload);
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
    reader in(payload);
    auth_frame f;
    f.method = in.u8();
    f.user = in.text(in.u8());
    f.mac = in.bytes<32>();
    if (!in.done() || f.method > 1) return {};
    return f;
}

std::optional<auth_ok_frame> decode_auth_ok(bytes_view payload) {
    reader in(payload);
    auth_ok_frame f;
    f.id = in.bytes<16>();
    f.resume_timeout_ms = in.u32();
    f.mac = in.bytes<32>();
    if (!in.done()) return {};
    return f;
}

std::optional<std::uint8_t> decode_auth_fail(bytes_view payload) {
    reader in(payload);
    const auto code = in.u8();
    if (!in.done() || code != 1) return {};
    return code;
}

std::optional<resume_frame> decode_resume(bytes_view payload) {
    reader in(payload);
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
    reader in(payload);
    resume_ok_frame f;
    f.epoch = in.u32();
    f.recv_frames = in.u64();
    f.first_frame = in.u64();
    f.proof = in.bytes<32>();
    if (!in.done() || f.first_frame == 0) return {};
    return f;
}

std::optional<resume_fail_frame> decode_resume_fail(bytes_view payload) {
    reader in(payload);
    const auto code = in.u8();
    resume_fail_frame f{static_cast<resume_failure>(code), in.u32()};
    if (!in.done() || code < 1 || code > 4) return {};
    return f;
}

std::optional<goaway_frame> decode_goaway(bytes_view payload) {
    reader in(payload);
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
    reader in(payload);
    close_frame f;
    f.code = in.u8();
    if (in.left() > close_frame::text_max) return {};
    f.text = in.text(in.left());
    if (!in.done()) return {};
    return f;
}

std::optional<std::uint64_t> decode_u64(bytes_view payload) {
    reader in(payload);
    const auto value = in.u64();
    if (!in.done()) return {};
    return value;
}

} // namespace muxsocks
