#pragma once

/// \file
/// What every parser of this folder returns. A parser looks at the bytes from their beginning and
/// never keeps any: an incomplete message is given again, with more bytes behind it. It fails as
/// early as the bytes allow. A verdict stays, whatever follows; only the name of a failure may
/// become more exact (parse_greeting).

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace muxsocks::socks5 {

enum class parse_status : std::uint8_t { done, need_more, failed };

template <typename T>
struct parse_result {
    parse_status status = parse_status::need_more;
    /// Bytes that the message takes, when done; otherwise 0.
    std::size_t used = 0;
    /// Complete when done; when failed, the fields that stand before the fault are filled in.
    T value{};
    /// Set when failed.
    std::error_code error{};
};

} // namespace muxsocks::socks5
