#include "protocol/link/dial/connect_error.hpp"

#include <string>

namespace muxsocks {

namespace {

class connect_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.connect"; }
    std::string message(int value) const override {
        switch (static_cast<connect_errc>(value)) {
        case connect_errc::timed_out:
            return "there was no answer to the connection request in time";
        case connect_errc::ttl_expired:
            return "a router on the way dropped the packets because they had passed too many "
                   "others (TTL expired): the route is a loop, or too long";
        }
        return "unknown error of a connection";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        return static_cast<connect_errc>(value) == connect_errc::timed_out
                   ? std::errc::timed_out
                   : std::errc::host_unreachable;
    }
};

} // namespace

const std::error_category& connect_category() noexcept {
    static const connect_category_impl instance;
    return instance;
}

} // namespace muxsocks
