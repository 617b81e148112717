#include "socks5/udp_header.hpp"

namespace muxsocks::socks5 {

std::optional<udp_header> parse_udp_header(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < udp_header::front_size) return std::nullopt;
    for (const auto byte : bytes.first(udp_header::front_size))
        if (byte != 0) return std::nullopt;
    auto parsed = parse_address(bytes.subspan(udp_header::front_size));
    if (parsed.status != parse_status::done || parsed.value.port == 0) return std::nullopt;
    return udp_header{std::move(parsed.value), udp_header::front_size + parsed.used};
}

} // namespace muxsocks::socks5
