#include "protocol/link/tls/session_crypto.hpp"

#include "protocol/link/tls/crypto.hpp"

namespace muxsocks {

crypto_functions session_crypto() {
    crypto_functions functions;
    functions.sha256 = [](std::span<const bytes_view> parts) -> digest { return sha256(parts); };
    functions.hmac_sha256 = [](bytes_view key, std::span<const bytes_view> parts) -> digest {
        return hmac_sha256(key, parts);
    };
    functions.random_bytes = [](bytes_span out) { random_bytes(out); };
    return functions;
}

} // namespace muxsocks
