#pragma once

/// \file
/// The page of the status listener: what a browser is given. It needs nothing from elsewhere, and
/// lives on the events of /v1/live.

#include <string_view>

namespace muxsocks {

struct page_file {
    const char* path;
    const char* type;
    std::string_view text;
};

/// Null if there is none of that path.
[[nodiscard]] const page_file* find_page(std::string_view path);

} // namespace muxsocks
