#include "client/environment.hpp"

#include "client/direct_rules.hpp"

#include <stdexcept>

namespace muxsocks::client {
namespace {

/// Where this machine reaches the listener.
std::string own_address(const listen_address& at) {
    auto address = at.address;
    if (address.host.empty() || address.host == "0.0.0.0") address.host = "127.0.0.1";
    if (address.host == "::") address.host = "::1";
    return to_string(address);
}

const listen_address* find_listener(const config& settings, std::uint8_t protocol) {
    for (const auto& each : settings.listen)
        if (each.type == listen_address::kind::ip && each.address.port != 0 &&
            (each.accept & protocol) != 0)
            return &each;
    return nullptr;
}

} // namespace

std::string environment_of(const config& settings) {
    const auto* const http = find_listener(settings, accepted_protocols::http);
    const auto* const socks = find_listener(settings, accepted_protocols::socks5);
    if (!http && !socks)
        throw std::runtime_error("\"listen\" has no address with a port for HTTP or SOCKS5");
    std::string lines;
    const auto set = [&lines](const std::string& name, const std::string& value) {
        lines += "export " + name + "=" + value + "\n";
    };
    if (!settings.users.empty())
        lines += "# Users have to log in: put USER:PASSWORD@ in front of the addresses.\n";
    if (http) {
        // Upper case too, but for HTTP_PROXY: a web server sets that one from a request's field.
        for (const auto* name : {"http_proxy", "https_proxy", "HTTPS_PROXY"})
            set(name, "http://" + own_address(*http));
    }
    if (socks) {
        for (const auto* name : {"all_proxy", "ALL_PROXY"})
            set(name, "socks5h://" + own_address(*socks));
    }
    for (const auto* name : {"no_proxy", "NO_PROXY"})
        set(name, "localhost,127.0.0.1,::1,.local" + no_proxy_words(settings.direct));
    return lines;
}

} // namespace muxsocks::client
