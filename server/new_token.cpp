#include "server/new_token.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/program/secret.hpp"

#include <algorithm>
#include <array>

namespace muxsocks::server {

std::string make_token() {
    std::array<std::uint8_t, 32> bytes{};
    random_bytes(bytes);
    auto text = to_base64(bytes);
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    text.resize(text.find_last_not_of('=') + 1);
    return text;
}

std::string token_digest_text(const std::string& token) { return to_hex(token_digest(token)); }

} // namespace muxsocks::server
