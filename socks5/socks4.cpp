#include "socks5/socks4.hpp"

#include "socks5/error.hpp"

#include <algorithm>
#include <string>

namespace muxsocks::socks4 {
namespace {

using socks5::parse_status;

constexpr std::size_t fixed_bytes = 8;
constexpr std::size_t text_bytes_max = 255;

/// A text that ends with 00, from `from` on.
struct text {
    parse_status status = parse_status::need_more;
    std::size_t end = 0; ///< Of its last byte but the 00.
};

text find_text(std::span<const std::uint8_t> bytes, std::size_t from) {
    const auto most = std::min(bytes.size(), from + text_bytes_max + 1);
    for (auto i = from; i < most; ++i)
        if (bytes[i] == 0) return {parse_status::done, i};
    const bool longer = bytes.size() > from + text_bytes_max;
    return {longer ? parse_status::failed : parse_status::need_more, 0};
}

socks5::parse_result<request> failed(socks5::parse_result<request> parsed, socks5::errc error) {
    parsed.status = parse_status::failed;
    parsed.error = error;
    return parsed;
}

} // namespace

socks5::parse_result<request> parse_request(std::span<const std::uint8_t> bytes) {
    socks5::parse_result<request> parsed;
    if (bytes.empty()) return parsed;
    if (bytes[0] != 4) return failed(parsed, socks5::errc::not_socks5);
    if (bytes.size() < 2) return parsed;
    parsed.value.cd = static_cast<command>(bytes[1]);
    if (parsed.value.cd != command::connect && parsed.value.cd != command::bind)
        return failed(parsed, socks5::errc::command_not_supported);
    if (bytes.size() < fixed_bytes) return parsed;
    const auto port = static_cast<std::uint16_t>(bytes[2] << 8 | bytes[3]);
    const auto user = find_text(bytes, fixed_bytes);
    if (user.status == parse_status::failed) return failed(parsed, socks5::errc::credential_length);
    if (user.status == parse_status::need_more) return parsed;
    const bool named = bytes[4] == 0 && bytes[5] == 0 && bytes[6] == 0 && bytes[7] != 0;
    if (!named) {
        parsed.status = parse_status::done;
        parsed.used = user.end + 1;
        parsed.value.dst =
            socks5::address::from_ipv4({bytes[4], bytes[5], bytes[6], bytes[7]}, port);
        return parsed;
    }
    const auto begin = user.end + 1;
    const auto name = find_text(bytes, begin);
    if (name.status == parse_status::failed) return failed(parsed, socks5::errc::invalid_domain);
    if (name.status == parse_status::need_more) return parsed;
    const std::string domain(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                             bytes.begin() + static_cast<std::ptrdiff_t>(name.end));
    if (const auto error = socks5::check_domain(domain)) {
        parsed.status = parse_status::failed;
        parsed.error = error;
        return parsed;
    }
    parsed.status = parse_status::done;
    parsed.used = name.end + 1;
    parsed.value.dst = socks5::address::from_domain(domain, port);
    return parsed;
}

std::vector<std::uint8_t> encode(result cd, const socks5::address& bnd) {
    std::vector<std::uint8_t> bytes{0, static_cast<std::uint8_t>(cd), 0, 0, 0, 0, 0, 0};
    if (bnd.type != socks5::address::kind::ipv4) return bytes;
    bytes[2] = static_cast<std::uint8_t>(bnd.port >> 8);
    bytes[3] = static_cast<std::uint8_t>(bnd.port & 0xff);
    std::copy(bnd.ip.begin(), bnd.ip.begin() + 4, bytes.begin() + 4);
    return bytes;
}

} // namespace muxsocks::socks4
