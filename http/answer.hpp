#pragma once

/// \file
/// Answers that the proxy itself gives: one sentence of text, or a page, always with its length.

#include <string>
#include <string_view>

namespace muxsocks::http {

struct own_answer {
    unsigned status = 200;
    std::string_view body{};
    std::string_view content_type = "text/plain; charset=utf-8";
    /// Further fields, each with its CRLF.
    std::string_view fields{};
    bool close = true;
    bool without_body = false; ///< It answers HEAD: the length stands there all the same.
};

/// RFC 9110's reason phrase; "Error" for others.
std::string_view reason(unsigned status);

std::string write(const own_answer& answer);

} // namespace muxsocks::http
