#include "socks5/error.hpp"

#include <string>

namespace muxsocks::socks5 {

namespace {

const char* sentence(errc code) {
    switch (code) {
    case errc::socks4_request:
        return "A SOCKS4 request arrived on the SOCKS5 port: set the application's proxy type to "
               "SOCKS5.";
    case errc::http_request:
        return "An HTTP request arrived on the SOCKS5 port: enter this address in the application "
               "as a SOCKS5 proxy, not as an HTTP proxy.";
    case errc::tls_client_hello:
        return "A TLS handshake arrived on the SOCKS5 port: set the application's proxy type to "
               "SOCKS5 without TLS (not to an HTTPS proxy).";
    case errc::not_socks5:
        return "The first byte is not 0x05: what connected does not speak SOCKS5.";
    case errc::password_required:
        return "The application did not offer a user name and password (method 0x02), and this "
               "proxy requires them: enter them in the application's proxy settings.";
    case errc::no_acceptable_method:
        return "The application insists on an authentication method that this proxy does not "
               "offer: it has user name and password (0x02) and, without users, none (0x00).";
    case errc::password_version:
        return "The version of the username/password negotiation is not 0x01 (RFC 1929).";
    case errc::password_rejected:
        return "The user name or the password is wrong.";
    case errc::credential_length:
        return "A user name and a password must each have 1 to 255 bytes (RFC 1929).";
    case errc::request_version:
        return "The version of the request is not 0x05: the application did not follow the "
               "negotiated method, or does not speak SOCKS5.";
    case errc::command_not_supported:
        return "The command of the request is not supported: only CONNECT (0x01) is.";
    case errc::address_type_not_supported:
        return "The address type is unknown: RFC 1928 has IPv4 (0x01), domain name (0x03) and "
               "IPv6 (0x04).";
    case errc::empty_domain:
        return "The domain name has a length of 0.";
    case errc::invalid_domain:
        return "The domain name contains NUL or another control character.";
    case errc::reply_version:
        return "The answer does not begin with 0x05: what was connected to is no SOCKS5 server.";
    case errc::name_not_resolved:
        return "The host name could not be resolved to an address.";
    }
    return "An unknown SOCKS5 error.";
}

class category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "socks5"; }
    std::string message(int value) const override { return sentence(static_cast<errc>(value)); }
};

} // namespace

const std::error_category& socks5_category() noexcept {
    static const category instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), socks5_category()};
}

} // namespace muxsocks::socks5
