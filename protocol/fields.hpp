#pragma once

/// \file
/// The fields of CTRL payloads, written and read one after another. What they mean is for
/// control.hpp.

#include "protocol/byte_order.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muxsocks {

/// Writes the fields of a payload one after another, behind its type byte.
class field_writer {
  public:
    /// `type`: the first byte, an enumerator of some control_type.
    template <typename Type>
    explicit field_writer(Type type) {
        u8(static_cast<std::uint8_t>(type));
    }

    field_writer& u8(std::uint8_t v) {
        out_.push_back(v);
        return *this;
    }
    field_writer& u16(std::uint16_t v) {
        out_.resize(out_.size() + 2);
        store_u16(out_.data() + out_.size() - 2, v);
        return *this;
    }
    field_writer& u32(std::uint32_t v) {
        out_.resize(out_.size() + 4);
        store_u32(out_.data() + out_.size() - 4, v);
        return *this;
    }
    field_writer& u64(std::uint64_t v) {
        out_.resize(out_.size() + 8);
        store_u64(out_.data() + out_.size() - 8, v);
        return *this;
    }
    field_writer& bytes(bytes_view v) {
        out_.insert(out_.end(), v.begin(), v.end());
        return *this;
    }
    field_writer& text(std::string_view v) {
        out_.insert(out_.end(), v.begin(), v.end());
        return *this;
    }
    std::vector<std::uint8_t> done() { return std::move(out_); }

  private:
    std::vector<std::uint8_t> out_;
};

/// Reads fields one after another; after a field that is not whole, ok() stays false.
class field_reader {
  public:
    explicit field_reader(bytes_view payload) : rest_(payload) { take(1); }

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

} // namespace muxsocks
