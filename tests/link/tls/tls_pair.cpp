#include "tests/link/tls/tls_pair.hpp"

#include <algorithm>

namespace muxsocks::test {

cutter whole() {
    return [](std::size_t waiting) { return waiting; };
}

cutter bytewise() {
    return [](std::size_t) { return std::size_t{1}; };
}

cutter random_cuts(unsigned seed, std::size_t piece_max) {
    return [random = std::mt19937(seed), piece_max](std::size_t waiting) mutable {
        std::uniform_int_distribution<std::size_t> pick(1, piece_max);
        return std::min(waiting, pick(random));
    };
}

byte_vector noise(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    byte_vector data(size);
    for (auto& byte : data)
        byte = static_cast<std::uint8_t>(random());
    return data;
}

void tls_peer::take(std::span<const std::uint8_t> ciphertext) {
    // The allocation's end is the buffer's end, so that a sanitizer sees what lies beyond.
    if (plain_size_ != room) plain_ = std::make_unique<std::uint8_t[]>(plain_size_ = room);
    bool more = true;
    while (more && !error && !closed) {
        const auto result = engine.decrypt(ciphertext, {plain_.get(), room}, out);
        received.insert(received.end(), plain_.get(), plain_.get() + result.plaintext);
        ciphertext = ciphertext.subspan(result.ciphertext_used);
        error = result.error;
        closed = result.peer_closed;
        more = result.more;
    }
}

byte_vector tls_peer::flight() {
    byte_vector bytes(out.view().begin(), out.view().end());
    out.clear();
    return bytes;
}

void exchange(tls_peer& a, tls_peer& b, const cutter& cut) {
    const auto carry = [&](tls_peer& from, tls_peer& to) {
        const byte_vector bytes = from.flight();
        for (std::span<const std::uint8_t> rest(bytes); !rest.empty();) {
            const std::size_t piece = cut(rest.size());
            to.take(rest.first(piece));
            rest = rest.subspan(piece);
        }
    };
    while (!a.out.empty() || !b.out.empty()) {
        carry(a, b);
        carry(b, a);
    }
}

tls_world::tls_world() = default;

tls_settings tls_world::server_settings() const { return server_settings(server); }

tls_settings tls_world::server_settings(const credential& credential) const {
    const std::string number = std::to_string(++files_);
    tls_settings settings;
    settings.role = tls_role::server;
    settings.certificate_file = dir.write("server" + number, credential.certificate_pem());
    settings.key_file = dir.write("server-key" + number, credential.key_pem());
    return settings;
}

tls_settings tls_world::client_settings() const {
    tls_settings settings;
    settings.role = tls_role::client;
    settings.ca_file = write_ca(ca);
    settings.server_name = "server.example";
    return settings;
}

tls_settings tls_world::client_settings(const credential& credential) const {
    const std::string number = std::to_string(++files_);
    tls_settings settings = client_settings();
    settings.certificate_file = dir.write("client" + number, credential.certificate_pem());
    settings.key_file = dir.write("client-key" + number, credential.key_pem());
    return settings;
}

std::string tls_world::write_ca(const credential& authority) const {
    return dir.write("ca" + std::to_string(++files_), authority.certificate_pem());
}

tls_pair::tls_pair(const tls_settings& client_settings, const tls_settings& server_settings)
    : client(tls_engine(tls_context(client_settings))),
      server(tls_engine(tls_context(server_settings))) {}

tls_pair::tls_pair(const tls_world& world)
    : tls_pair(world.client_settings(), world.server_settings()) {}

void tls_pair::handshake(const cutter& cut) {
    server.error = server.engine.start_handshake(server.out);
    client.error = client.engine.start_handshake(client.out);
    exchange(client, server, cut);
}

} // namespace muxsocks::test
