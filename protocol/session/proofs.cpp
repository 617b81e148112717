#include "protocol/session/proofs.hpp"

namespace muxsocks {
namespace {

// No label is the begin of another; all differ from those of builds before sessions had links.
constexpr std::string_view client_label = "muxsocks 2 client auth";
constexpr std::string_view server_label = "muxsocks 2 server auth";
constexpr std::string_view secret_label = "muxsocks 2 session secret";
constexpr std::string_view join_label = "muxsocks 2 client join";
constexpr std::string_view join_ok_label = "muxsocks 2 server join";

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::array<std::uint8_t, 4> big_endian(std::uint32_t value) {
    std::array<std::uint8_t, 4> out{};
    store_u32(out.data(), value);
    return out;
}

} // namespace

digest transcript::hash(const crypto_functions& crypto, std::uint8_t method,
                        std::string_view user) const {
    const std::uint8_t head[] = {method, static_cast<std::uint8_t>(user.size())};
    const std::uint8_t exporter_length[] = {static_cast<std::uint8_t>(exporter.size())};
    const bytes_view parts[] = {client_hello,   server_hello,    head,
                                bytes_of(user), exporter_length, exporter};
    return crypto.sha256(std::span(parts));
}

digest session_proofs::client_mac(std::uint8_t method, std::string_view user, const digest& key) {
    key_ = key;
    t_ = said_.hash(crypto_, method, user);
    const bytes_view parts[] = {bytes_of(client_label), t_};
    return crypto_.hmac_sha256(key_, std::span(parts));
}

digest session_proofs::server_mac(const auth_ok_frame& answer) const {
    const auto timeout = big_endian(answer.resume_timeout_ms);
    const bytes_view parts[] = {bytes_of(server_label), t_, answer.id, timeout};
    return crypto_.hmac_sha256(key_, std::span(parts));
}

void session_proofs::establish(const session_id& id) {
    id_ = id;
    const bytes_view parts[] = {bytes_of(secret_label), t_, id_};
    secret_ = crypto_.hmac_sha256(key_, std::span(parts));
    said_ = {};
    key_ = t_ = digest{};
}

digest session_proofs::link_proof(std::string_view label, link_number number,
                                  bytes_view exporter) const {
    const std::uint8_t version[] = {2};
    const auto name = big_endian(number);
    const bytes_view parts[] = {bytes_of(label), version, id_, name, exporter};
    return crypto_.hmac_sha256(secret_, std::span(parts));
}

digest session_proofs::join_proof(link_number number, bytes_view exporter) const {
    return link_proof(join_label, number, exporter);
}

digest session_proofs::join_ok_proof(link_number number, bytes_view exporter) const {
    return link_proof(join_ok_label, number, exporter);
}

} // namespace muxsocks
