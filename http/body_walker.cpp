#include "http/body_walker.hpp"

#include <algorithm>
#include <limits>

namespace muxsocks::http {
namespace {

/// A chunk's size: 2^60 - 1 at most.
constexpr unsigned digits_max = 15;
/// Of extensions in one line, and of all trailers.
constexpr std::size_t extension_bytes_max = 4096;

int value_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

} // namespace

std::uint64_t body_walker::sure() const {
    if (complete_ || failed_) return 0;
    if (body_ == framing::until_end) return std::numeric_limits<std::uint64_t>::max();
    if (body_ == framing::length || at_ == at::data) return left_;
    return 0;
}

std::size_t body_walker::take(std::string_view bytes) {
    std::size_t taken = 0;
    while (taken < bytes.size() && !complete_ && !failed_) {
        if (const auto known = sure(); known > 0) {
            const auto size =
                static_cast<std::size_t>(std::min<std::uint64_t>(known, bytes.size() - taken));
            taken += size;
            if (body_ == framing::until_end) continue;
            left_ -= size;
            if (left_ > 0) continue;
            if (body_ == framing::length)
                complete_ = true;
            else
                at_ = at::data_cr;
            continue;
        }
        step(bytes[taken]);
        if (!failed_) ++taken;
    }
    return taken;
}

void body_walker::step(char c) {
    switch (at_) {
    case at::size: {
        const int digit = value_of(c);
        if (digit >= 0 && digits_ < digits_max) {
            left_ = left_ * 16 + static_cast<unsigned>(digit);
            ++digits_;
            return;
        }
        if (digits_ == 0 || (c != '\r' && c != ';')) return fail();
        line_bytes_ = 0;
        at_ = c == ';' ? at::extension : at::size_lf;
        return;
    }
    case at::extension:
        if (c == '\r') {
            at_ = at::size_lf;
            return;
        }
        if (is_control(c) || ++line_bytes_ > extension_bytes_max) fail();
        return;
    case at::size_lf:
        if (c != '\n') return fail();
        line_bytes_ = 0;
        digits_ = 0;
        at_ = left_ > 0 ? at::data : at::trailer;
        return;
    case at::data:
        return;
    case at::data_cr:
        if (c != '\r') return fail();
        at_ = at::data_lf;
        return;
    case at::data_lf:
        if (c != '\n') return fail();
        at_ = at::size;
        return;
    case at::trailer:
        if (c == '\r') {
            at_ = at::end_lf;
            return;
        }
        if (!is_token({&c, 1})) return fail();
        ++line_bytes_;
        at_ = at::trailer_name;
        return;
    case at::trailer_name:
    case at::trailer_value:
        if (++line_bytes_ > head_bytes_max) return fail();
        if (at_ == at::trailer_value) {
            if (c == '\r')
                at_ = at::trailer_lf;
            else if (is_control(c))
                fail();
            return;
        }
        if (c == ':')
            at_ = at::trailer_value;
        else if (!is_token({&c, 1}))
            fail();
        return;
    case at::trailer_lf:
        if (c != '\n') return fail();
        at_ = at::trailer;
        return;
    case at::end_lf:
        if (c != '\n') return fail();
        complete_ = true;
        return;
    }
}

} // namespace muxsocks::http
