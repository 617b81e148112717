#include "protocol/handshake.hpp"

namespace muxsocks {
namespace {

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <typename Int>
std::array<std::uint8_t, sizeof(Int)> big_endian(Int value) {
    std::array<std::uint8_t, sizeof(Int)> out{};
    if constexpr (sizeof(Int) == 8)
        store_u64(out.data(), value);
    else
        store_u32(out.data(), value);
    return out;
}

} // namespace

bool equal_in_constant_time(bytes_view a, bytes_view b) {
    if (a.size() != b.size()) return false;
    volatile std::uint8_t difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
    return difference == 0;
}

digest transcript::hash(const crypto_functions& crypto, std::uint8_t method,
                        std::string_view user) const {
    const std::uint8_t head[] = {method, static_cast<std::uint8_t>(user.size())};
    const std::uint8_t exporter_length[] = {static_cast<std::uint8_t>(exporter.size())};
    const bytes_view parts[] = {client_hello,   server_hello,    head,
                                bytes_of(user), exporter_length, exporter};
    return crypto.sha256(std::span(parts));
}

digest client_auth_mac(const crypto_functions& crypto, const digest& key, const digest& t) {
    const bytes_view parts[] = {bytes_of("muxsocks auth c v2"), t};
    return crypto.hmac_sha256(key, std::span(parts));
}

digest server_auth_mac(const crypto_functions& crypto, const digest& key, const digest& t,
                       const auth_ok_frame& frame) {
    const auto timeout = big_endian(frame.resume_timeout_ms);
    const bytes_view parts[] = {bytes_of("muxsocks auth s v2"), t, frame.id, timeout};
    return crypto.hmac_sha256(key, std::span(parts));
}

digest resume_secret(const crypto_functions& crypto, const digest& key, const digest& t,
                     const session_id& id) {
    const bytes_view parts[] = {bytes_of("muxsocks resume v2"), t, id};
    return crypto.hmac_sha256(key, std::span(parts));
}

digest client_resume_proof(const crypto_functions& crypto, const digest& secret,
                           const resume_frame& frame, bytes_view exporter) {
    const auto epoch = big_endian(frame.epoch);
    const auto received = big_endian(frame.recv_frames);
    const bytes_view parts[] = {
        bytes_of("muxsocks resume c"), frame.id, epoch, received, frame.nonce, exporter};
    return crypto.hmac_sha256(secret, std::span(parts));
}

digest server_resume_proof(const crypto_functions& crypto, const digest& secret,
                           const resume_frame& asked, const resume_ok_frame& answer,
                           bytes_view exporter) {
    const auto epoch = big_endian(answer.epoch);
    const auto received = big_endian(answer.recv_frames);
    const auto first = big_endian(answer.first_frame);
    const bytes_view parts[] = {
        bytes_of("muxsocks resume s"), asked.id, epoch, received, asked.nonce, exporter, first};
    return crypto.hmac_sha256(secret, std::span(parts));
}

} // namespace muxsocks
