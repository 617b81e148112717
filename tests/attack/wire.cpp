#include "tests/attack/wire.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace muxsocks::attack::wire {
namespace {

constexpr std::uint32_t no_session = 0;
constexpr std::uint8_t version = 2;
constexpr std::uint8_t method_token = 1;
constexpr std::uint32_t channel_binding_bit = 1;
constexpr std::uint32_t resume_bit = 2;
constexpr std::size_t id_bytes = 16;
constexpr std::size_t mac_bytes = 32;
constexpr std::uint32_t streams_of_our_server = 16'384;

template <class Number>
void put_number(bytes& out, Number value) {
    for (std::size_t i = sizeof value; i-- > 0;)
        out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

std::uint64_t number_at(view from, std::size_t offset, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
        value = value << 8U | from[offset + i];
    return value;
}

void append(bytes& out, view more) { out.insert(out.end(), more.begin(), more.end()); }

view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

bytes sha256(view of) {
    bytes digest(mac_bytes);
    EVP_Digest(of.data(), of.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    return digest;
}

bytes random_bytes(std::size_t count) {
    bytes made(count);
    RAND_bytes(made.data(), static_cast<int>(count));
    return made;
}

bytes hmac(view key, view of) {
    bytes mac(mac_bytes);
    unsigned length = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), of.data(), of.size(), mac.data(),
         &length);
    return mac;
}

bytes hello_of(std::uint32_t features, std::uint32_t window, std::uint32_t streams) {
    bytes payload{hello, version};
    put_number(payload, features);
    put_number(payload, window);
    put_number(payload, streams);
    append(payload, random_bytes(16));
    return payload;
}

} // namespace

std::size_t payload_bytes(view header) { return number_at(header, 5, 2); }

frame read_frame(view from) {
    const auto payload = from.subspan(header_bytes, payload_bytes(from));
    return {static_cast<std::uint32_t>(number_at(from, 0, 4)), from[4],
            bytes(payload.begin(), payload.end())};
}

void put(bytes& out, std::uint32_t stream, std::uint8_t flags, view payload) {
    put_number(out, stream);
    out.push_back(flags);
    put_number(out, static_cast<std::uint16_t>(payload.size()));
    append(out, payload);
}

void put_data(bytes& out, std::uint32_t stream, std::uint64_t offset, view content,
              std::uint8_t more_flags) {
    const std::uint8_t opens = offset == 0 ? syn : 0;
    put_number(out, stream);
    out.push_back(static_cast<std::uint8_t>(data | opens | more_flags));
    put_number(out, static_cast<std::uint16_t>(offset_bytes + content.size()));
    put_number(out, offset);
    append(out, content);
}

void put_rst(bytes& out, std::uint32_t stream, std::uint32_t code) {
    bytes payload;
    put_number(payload, code);
    put(out, stream, rst, payload);
}

void put_credit(bytes& out, std::uint32_t stream, std::uint64_t limit) {
    bytes payload{credit};
    put_number(payload, limit);
    put(out, stream, ctrl, payload);
}

void put_ack(bytes& out, std::uint64_t frames) {
    bytes payload{ack};
    put_number(payload, frames);
    put(out, no_session, ctrl, payload);
}

bytes join_fail_unknown() { return {join_fail, 1, 0, 0, 0, 0}; }

bytes request(std::string_view host, std::uint16_t port) {
    std::array<std::uint8_t, 4> address{};
    const char* at = host.data();
    const char* const end = at + host.size();
    std::size_t parts = 0;
    while (parts < address.size()) {
        const auto [next, wrong] = std::from_chars(at, end, address[parts]);
        if (wrong != std::errc{}) break;
        ++parts;
        at = next;
        if (at == end || *at != '.') break;
        ++at;
    }
    bytes out{5, 1, 0};
    if (parts == address.size() && at == end) {
        out.push_back(1);
        append(out, address);
    } else {
        out.push_back(3);
        out.push_back(static_cast<std::uint8_t>(host.size()));
        append(out, bytes_of(host));
    }
    put_number(out, port);
    return out;
}

std::string token_of(std::string_view user) {
    return std::string(user) + "-has-a-token-of-thirty-two-characters";
}

handshake::handshake(std::string user)
    : user_(std::move(user)), key_(sha256(bytes_of(token_of(user_)))) {}

bytes handshake::client_hello(std::uint32_t initial_window, bool channel_binding) {
    client_hello_ =
        hello_of(resume_bit | (channel_binding ? channel_binding_bit : 0), initial_window, 0);
    return client_hello_;
}

void handshake::transcribe(std::uint8_t method, view exporter) {
    bytes text = client_hello_;
    append(text, server_hello_);
    text.push_back(method);
    text.push_back(static_cast<std::uint8_t>(user_.size()));
    append(text, bytes_of(user_));
    text.push_back(static_cast<std::uint8_t>(exporter.size()));
    append(text, exporter);
    transcript_ = sha256(text);
}

bytes handshake::proof(std::string_view label, view more) const {
    bytes text(label.begin(), label.end());
    append(text, transcript_);
    append(text, more);
    return hmac(key_, text);
}

bytes handshake::client_auth(view server_hello, view exporter) {
    server_hello_.assign(server_hello.begin(), server_hello.end());
    transcribe(method_token, exporter);
    bytes payload{auth, method_token, static_cast<std::uint8_t>(user_.size())};
    append(payload, bytes_of(user_));
    append(payload, proof("muxsocks 2 client auth", {}));
    return payload;
}

bool handshake::on_auth_ok(view payload) {
    constexpr std::size_t proven = id_bytes + 4;
    if (payload.size() != 1 + proven + mac_bytes || payload[0] != auth_ok) return false;
    const auto fields = payload.subspan(1, proven);
    const auto mac = payload.subspan(1 + proven);
    if (!std::ranges::equal(mac, proof("muxsocks 2 server auth", fields))) return false;
    session_id_.assign(fields.begin(), fields.begin() + id_bytes);
    secret_ = proof("muxsocks 2 session secret", session_id_);
    return true;
}

bytes handshake::client_join(std::uint32_t number, view exporter) const {
    bytes fields{version};
    append(fields, session_id_);
    put_number(fields, number);
    constexpr std::string_view label = "muxsocks 2 client join";
    bytes proven(label.begin(), label.end());
    append(proven, fields);
    append(proven, exporter);
    bytes payload{join};
    append(payload, fields);
    append(payload, hmac(secret_, proven));
    return payload;
}

bytes handshake::server_hello(view client_hello) {
    client_hello_.assign(client_hello.begin(), client_hello.end());
    const auto asked = static_cast<std::uint32_t>(number_at(client_hello, 2, 4));
    server_hello_ =
        hello_of(asked & (channel_binding_bit | resume_bit), 256 * 1024, streams_of_our_server);
    return server_hello_;
}

bytes handshake::server_auth_ok(view client_auth, view exporter) {
    transcribe(client_auth[1], exporter);
    bytes fields = random_bytes(id_bytes);
    put_number(fields, std::uint32_t{60'000});
    bytes payload{auth_ok};
    append(payload, fields);
    append(payload, proof("muxsocks 2 server auth", fields));
    return payload;
}

} // namespace muxsocks::attack::wire
