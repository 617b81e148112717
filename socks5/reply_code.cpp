#include "socks5/reply_code.hpp"

#include "socks5/error.hpp"

#include <array>
#include <cerrno>
#include <string>

namespace muxsocks::socks5 {

namespace {

struct row {
    std::string_view text;
    std::string_view sentence;
};

constexpr std::array<row, 9> rows{{
    {"succeeded", "The request succeeded."},
    {"general SOCKS server failure",
     "The proxy could not serve the request (REP 0x01, general SOCKS server failure): its log says "
     "why."},
    {"connection not allowed by ruleset",
     "The proxy's rules do not allow this destination (REP 0x02)."},
    {"Network unreachable", "The proxy has no route to the target's network (REP 0x03)."},
    {"Host unreachable",
     "The target does not answer, or its name does not resolve (REP 0x04, host unreachable)."},
    {"Connection refused", "The target refused the connection (REP 0x05)."},
    {"TTL expired", "The way to the target is too long or a loop (REP 0x06, TTL expired)."},
    {"Command not supported", "The proxy does not support this command (REP 0x07)."},
    {"Address type not supported", "The proxy does not support this type of address (REP 0x08)."},
}};

class reply_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "socks5.reply"; }
    std::string message(int value) const override {
        if (value >= 0 && static_cast<std::size_t>(value) < rows.size())
            return std::string{rows[static_cast<std::size_t>(value)].sentence};
        return "The proxy answered with a REP that RFC 1928 does not assign (" +
               std::to_string(value) + ").";
    }
};

reply_code from_socks5(errc error) {
    switch (error) {
    case errc::name_not_resolved:
        return reply_code::host_unreachable;
    case errc::command_not_supported:
        return reply_code::command_not_supported;
    case errc::address_type_not_supported:
        return reply_code::address_type_not_supported;
    default:
        return reply_code::general_failure;
    }
}

} // namespace

std::string_view to_text(reply_code code) {
    const auto value = static_cast<std::size_t>(code);
    return value < rows.size() ? rows[value].text : "unassigned";
}

reply_code reply_code_from(const std::error_code& error) {
    if (!error) return reply_code::succeeded;
    if (error.category() == reply_category()) return static_cast<reply_code>(error.value());
    if (error.category() == socks5_category()) return from_socks5(static_cast<errc>(error.value()));
    if (error.category() == std::system_category()) return reply_code_from_errno(error.value());
    const auto condition = error.default_error_condition();
    if (condition.category() == std::generic_category())
        return reply_code_from_errno(condition.value());
    return reply_code::general_failure;
}

reply_code reply_code_from_errno(int error) {
    switch (error) {
    case 0:
        return reply_code::succeeded;
    case EACCES:
    case EPERM:
        return reply_code::not_allowed;
    case ENETUNREACH:
    case ENETDOWN:
        return reply_code::network_unreachable;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ETIMEDOUT:
        return reply_code::host_unreachable;
    case ECONNREFUSED:
        return reply_code::connection_refused;
    case EAFNOSUPPORT:
        return reply_code::address_type_not_supported;
    default:
        return reply_code::general_failure;
    }
}

const std::error_category& reply_category() noexcept {
    static const reply_category_impl instance;
    return instance;
}

std::error_code make_error_code(reply_code code) noexcept {
    return {static_cast<int>(code), reply_category()};
}

} // namespace muxsocks::socks5
