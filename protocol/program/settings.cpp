#include "protocol/program/settings.hpp"

#include <algorithm>

namespace muxsocks {

namespace {

constexpr std::array<std::string_view, 5> level_names{"trace", "debug", "info", "warning", "error"};

} // namespace

std::string to_string(const host_port& value) {
    const bool is_ipv6 = value.host.find(':') != std::string::npos;
    const std::string host = is_ipv6 ? "[" + value.host + "]" : value.host;
    return host + ":" + std::to_string(value.port);
}

std::string to_string(const listen_address& value) {
    switch (value.type) {
    case listen_address::kind::unix_path:
        return "unix:" + value.address.host;
    case listen_address::kind::unix_abstract:
        return "unix:@" + value.address.host;
    case listen_address::kind::systemd:
        return "systemd:" + value.address.host;
    case listen_address::kind::ip:
        break;
    }
    return to_string(value.address);
}

std::string_view to_string(log_level level) noexcept {
    return level_names[static_cast<std::size_t>(level)];
}

std::optional<log_level> parse_log_level(std::string_view name) noexcept {
    if (name == "warn") return log_level::warning;
    if (name == "err") return log_level::error;
    const auto* const found = std::find(level_names.begin(), level_names.end(), name);
    if (found == level_names.end()) return std::nullopt;
    return static_cast<log_level>(found - level_names.begin());
}

} // namespace muxsocks
