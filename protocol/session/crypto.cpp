#include "protocol/session/crypto.hpp"

namespace muxsocks {

bool equal_in_constant_time(bytes_view a, bytes_view b) {
    if (a.size() != b.size()) return false;
    volatile std::uint8_t difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
    return difference == 0;
}

digest token_key(const crypto_functions& crypto, std::string_view token) {
    if (token.empty()) return {};
    const bytes_view parts[] = {bytes_of_text(token)};
    return crypto.sha256(std::span(parts));
}

} // namespace muxsocks
