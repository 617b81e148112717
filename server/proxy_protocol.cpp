#include "server/proxy_protocol.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <algorithm>
#include <array>

namespace muxsocks::server {
namespace {

constexpr std::array<std::uint8_t, 12> signature = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                    0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::size_t fixed_size = 16;
constexpr std::size_t size_max = fixed_size + 2048; ///< TLVs included.

} // namespace

bytes_view local_proxy_header() {
    static constexpr std::array<std::uint8_t, fixed_size> header = {
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, //
        0x20, 0x00, 0x00, 0x00};
    return header;
}

proxy_header parse_proxy_header(bytes_view bytes) {
    proxy_header header;
    const auto compared = std::min(bytes.size(), signature.size());
    if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(compared),
                    signature.begin())) {
        header.result = proxy_header::status::failed;
        return header;
    }
    if (bytes.size() < fixed_size) return header;
    header.size = fixed_size + load_u16(&bytes[14]);
    const auto command = bytes[12];
    if ((command >> 4) != 2 || (command & 0x0f) > 1 || header.size > size_max) {
        header.result = proxy_header::status::failed;
        return header;
    }
    if (bytes.size() < header.size) return header;
    header.result = proxy_header::status::done;
    header.local = (command & 0x0f) == 0;
    if (header.local) return header;
    const auto family = bytes[13] >> 4;
    if (family == 1 && header.size >= fixed_size + 12) {
        boost::asio::ip::address_v4::bytes_type ip;
        std::copy_n(&bytes[fixed_size], ip.size(), ip.begin());
        header.client = boost::asio::ip::address_v4(ip);
    } else if (family == 2 && header.size >= fixed_size + 36) {
        boost::asio::ip::address_v6::bytes_type ip;
        std::copy_n(&bytes[fixed_size], ip.size(), ip.begin());
        header.client = unmapped(boost::asio::ip::address_v6(ip));
    }
    return header;
}

} // namespace muxsocks::server
