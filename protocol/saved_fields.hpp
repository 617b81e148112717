#pragma once

/// \file
/// What an object needs in another process, as bytes: its fields one after another, written and
/// read by one list of them. A class has a template `each_field(fields)` that passes its members to
/// fields(...), those of classes that have one too among them. Numbers are big-endian, texts have
/// their length in front.

#include "protocol/byte_order.hpp"

#include <string>
#include <type_traits>
#include <vector>

namespace muxsocks {

class field_saver {
  public:
    template <class... Fields>
    void operator()(Fields&... fields) {
        (put(fields), ...);
    }
    [[nodiscard]] std::vector<std::uint8_t>& bytes() { return bytes_; }

  private:
    template <class Field>
    void put(Field& field) {
        if constexpr (std::is_integral_v<Field> || std::is_enum_v<Field>) {
            put_number(static_cast<std::uint64_t>(field), sizeof(Field));
        } else if constexpr (requires { field.each_field(*this); }) {
            field.each_field(*this);
        } else {
            put_number(field.size(), sizeof(std::uint32_t));
            for (const auto each : field)
                bytes_.push_back(static_cast<std::uint8_t>(each));
        }
    }
    void put_number(std::uint64_t value, std::size_t size) {
        for (auto left = size; left-- > 0;)
            bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * left)));
    }

    std::vector<std::uint8_t> bytes_;
};

class field_loader {
  public:
    explicit field_loader(bytes_view bytes) : rest_(bytes) {}

    template <class... Fields>
    void operator()(Fields&... fields) {
        (get(fields), ...);
    }
    /// Whether all fields were whole, and nothing is left.
    [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

  private:
    template <class Field>
    void get(Field& field) {
        if constexpr (std::is_same_v<Field, bool>) {
            field = number(sizeof(Field)) != 0;
        } else if constexpr (std::is_integral_v<Field> || std::is_enum_v<Field>) {
            field = static_cast<Field>(number(sizeof(Field)));
        } else if constexpr (requires { field.each_field(*this); }) {
            field.each_field(*this);
        } else {
            const auto bytes = take(static_cast<std::size_t>(number(sizeof(std::uint32_t))));
            field.assign(bytes.begin(), bytes.end());
        }
    }
    std::uint64_t number(std::size_t size) {
        std::uint64_t value = 0;
        for (const auto each : take(size))
            value = value << 8 | each;
        return value;
    }
    bytes_view take(std::size_t size) {
        ok_ = ok_ && size <= rest_.size();
        if (!ok_) return {};
        const auto part = rest_.first(size);
        rest_ = rest_.subspan(size);
        return part;
    }

    bytes_view rest_;
    bool ok_ = true;
};

} // namespace muxsocks
