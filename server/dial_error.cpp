#include "server/dial_error.hpp"

#include <string>

namespace muxsocks::server {

namespace {

class category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.dial"; }
    std::string message(int value) const override {
        switch (static_cast<dial_errc>(value)) {
        case dial_errc::denied:
            return "the rules for destinations do not allow this target";
        case dial_errc::waited_too_long:
            return "the dial's time was over before its turn came, or soon after: its user had as "
                   "many "
                   "connects or look-ups under way as limits.dials and limits.lookups leave to "
                   "one, or "
                   "all did";
        }
        return "unknown error of a dial";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        return static_cast<dial_errc>(value) == dial_errc::denied
                   ? std::errc::operation_not_permitted
                   : std::errc::resource_unavailable_try_again;
    }
};

} // namespace

const std::error_category& dial_category() noexcept {
    static const category instance;
    return instance;
}

} // namespace muxsocks::server
