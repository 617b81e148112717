#include "protocol/link/dial/resolve_error.hpp"

#include <string>

namespace muxsocks {

namespace {

std::string text(resolve_errc code) {
    switch (code) {
    case resolve_errc::bad_name:
        return "this is no name of a host: names have letters, digits, '-' and '_' in parts of at "
               "most 63, 253 bytes in all, and do not end in a number; international names must be "
               "sent in their ASCII form (xn--...)";
    case resolve_errc::not_found:
        return "the name does not exist (NXDOMAIN)";
    case resolve_errc::no_address:
        return "the name exists, but has no IPv4 or IPv6 address";
    case resolve_errc::server_failure:
        return "no DNS server could be reached, or none could answer for this name (SERVFAIL, "
               "REFUSED)";
    case resolve_errc::timed_out:
        return "no DNS server answered in time";
    }
    return "unknown error of name resolution";
}

class resolve_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.resolve"; }
    std::string message(int value) const override { return text(static_cast<resolve_errc>(value)); }
    std::error_condition default_error_condition(int value) const noexcept override {
        return static_cast<resolve_errc>(value) == resolve_errc::timed_out
                   ? std::errc::timed_out
                   : std::errc::host_unreachable;
    }
};

} // namespace

const std::error_category& resolve_category() noexcept {
    static const resolve_category_impl instance;
    return instance;
}

} // namespace muxsocks
