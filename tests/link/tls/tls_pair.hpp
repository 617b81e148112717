#pragma once

/// \file
/// Two TLS engines back to back in memory, and what is needed to tell stories with them.

#include "protocol/link/tls/tls_engine.hpp"
#include "tests/link/tls/tls_certificates.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace muxsocks::test {

using byte_vector = std::vector<std::uint8_t>;

/// The length of the next piece to deliver when so many bytes wait; at least 1, at most that many.
using cutter = std::function<std::size_t(std::size_t)>;
cutter whole();
cutter bytewise();
cutter random_cuts(unsigned seed, std::size_t piece_max = 20000);

/// For checks: Catch2 would write out both, and megabytes take it minutes.
inline bool same(const byte_vector& a, const byte_vector& b) { return a == b; }

/// Bytes that look random, and are the same for the same seed.
byte_vector noise(std::size_t size, unsigned seed);

/// One end: what it has to send, has received, and how it ended.
struct tls_peer {
    explicit tls_peer(tls_engine&& connection) : engine(std::move(connection)) {}

    /// Decrypts a piece as a link does, `room` bytes of plaintext at a time.
    void take(std::span<const std::uint8_t> ciphertext);
    /// Everything that waits in `out`, taken from it.
    byte_vector flight();

    tls_engine engine;
    std::size_t room = 65536;
    output_buffer out;
    byte_vector received;
    std::error_code error;
    bool closed = false;

  private:
    std::unique_ptr<std::uint8_t[]> plain_;
    std::size_t plain_size_ = 0;
};

/// Carries what waits until both ends have nothing to say.
void exchange(tls_peer& a, tls_peer& b, const cutter& cut = whole());

/// A CA, a server with a certificate of it, and a client that trusts it.
struct tls_world {
    tls_world();

    tls_settings server_settings() const;
    /// Settings for a server with another certificate.
    tls_settings server_settings(const credential& server) const;
    tls_settings client_settings() const;
    /// Settings with a certificate of the client's own.
    tls_settings client_settings(const credential& client) const;
    std::string write_ca(const credential& ca) const;

    temp_dir dir;
    credential ca = make_ca("muxsocks test CA");
    credential server = make_credential({}, &ca);

  private:
    mutable int files_ = 0;
};

struct tls_pair {
    tls_pair(const tls_settings& client_settings, const tls_settings& server_settings);
    explicit tls_pair(const tls_world& world);

    void handshake(const cutter& cut = whole());

    tls_peer client;
    tls_peer server;
};

} // namespace muxsocks::test
