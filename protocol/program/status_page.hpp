#pragma once

/// \file
/// The page of the status listener: what a browser is given (protocol/program/page). It needs
/// nothing from elsewhere, and lives on /v1/live and /v1/history.

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
