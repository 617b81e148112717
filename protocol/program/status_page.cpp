#include "protocol/program/status_page.hpp"

#include "protocol/program/page/files.hpp"

#include <algorithm>
#include <array>

namespace muxsocks {
namespace {

constexpr std::string_view page_icon =
    R"svg(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="none" stroke="#0b57d0" stroke-width="2" d="M1 3c7 0 6 5 14 5M1 8h14M1 13c7 0 6-5 14-5"/></svg>)svg";

constexpr std::array page_files{
    page_file{"/", "text/html; charset=utf-8", page::html},
    page_file{"/icon.svg", "image/svg+xml", page_icon},
    page_file{"/status.css", "text/css; charset=utf-8", page::css},
    page_file{"/status.js", "text/javascript; charset=utf-8", page::js},
};

} // namespace

const page_file* find_page(std::string_view path) {
    const auto found = std::find_if(page_files.begin(), page_files.end(),
                                    [&](const page_file& each) { return path == each.path; });
    return found == page_files.end() ? nullptr : &*found;
}

} // namespace muxsocks
