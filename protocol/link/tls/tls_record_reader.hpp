#pragma once

/// \file
/// Cuts the ciphertext of a link into TLS records. A record that lies whole in what came is a view
/// of it; only one that was cut is put together here. Holds no memory between records.

#include "protocol/link/tls/tls_protection.hpp"

#include <vector>

namespace muxsocks {

class tls_record_reader {
  public:
    enum class outcome : std::uint8_t {
        record,    ///< A whole one, of a length that a record can have.
        need_more, ///< All of the input was taken.
        not_tls,   ///< What comes is no record of application data, or has no possible length.
    };

    /// Takes from the front of `input` up to the end of one record. `record` is then all of it,
    /// header included, valid until the next call and as long as the input's memory.
    outcome next(std::span<const std::uint8_t>& input, std::span<const std::uint8_t>& record);

  private:
    static outcome judge(std::span<const std::uint8_t> header);
    static std::size_t size_of(std::span<const std::uint8_t> header);

    std::vector<std::uint8_t> partial_;
    bool delivered_ = false; ///< Whether partial_ was the last record, and can go.
};

} // namespace muxsocks
