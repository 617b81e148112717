#include "protocol/link/tls/tls_engine.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "tests/catch.hpp"
#include "tests/link/tls/tls_pair.hpp"

#include <openssl/crypto.h>

#include <algorithm>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

constexpr std::size_t full_record = 16384 + 22; // what 16,384 bytes become

bool agree(const tls_pair& pair) {
    return pair.client.engine.handshake_done() && pair.server.engine.handshake_done() &&
           !pair.client.error && !pair.server.error;
}

} // namespace

TEST_CASE("a TLS handshake between two engines") {
    const tls_world world;
    tls_pair pair(world);

    SECTION("ends well when its bytes arrive whole") { pair.handshake(whole()); }
    SECTION("ends well when they arrive one by one") { pair.handshake(bytewise()); }
    SECTION("ends well when they arrive in random pieces") {
        const unsigned seed = GENERATE(range(0U, 20U));
        CAPTURE(seed);
        pair.handshake(random_cuts(seed, 200));
    }
    CHECK(agree(pair));
    CHECK(pair.client.engine.alpn() == "muxsocks/2");
    CHECK(pair.server.engine.alpn() == "muxsocks/2");
    CHECK(pair.client.engine.error_text().empty());
    CHECK(pair.client.engine.peer_subject() == "CN=muxsocks test");
    CHECK(pair.server.engine.peer_subject().empty());
    CHECK(pair.client.engine.peer_pin() == tls_context(world.server_settings()).certificate_pin());
    CHECK_FALSE(pair.server.engine.peer_pin());
    CHECK(pair.client.received.empty());
    CHECK(pair.server.received.empty());
}

TEST_CASE("keying material exported from a TLS connection") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const auto client = pair.client.engine.exporter();

    SECTION("is the same at both ends") { CHECK(client == pair.server.engine.exporter()); }
    SECTION("differs between connections") {
        tls_pair other(world);
        other.handshake();
        CHECK(client != other.server.engine.exporter());
    }
}

TEST_CASE("the cipher of a TLS connection") {
    const tls_world world;
    auto client = world.client_settings();
    auto server = world.server_settings();
    const auto cipher = [&](bool client_has_aes, bool server_has_aes) {
        client.aes_in_hardware = client_has_aes;
        server.aes_in_hardware = server_has_aes;
        tls_pair pair(client, server);
        pair.handshake();
        CHECK(pair.client.engine.cipher() == pair.server.engine.cipher());
        return pair.server.engine.cipher();
    };

    SECTION("is AES-128 where both have it in hardware") {
        CHECK(cipher(true, true) == "TLS_AES_128_GCM_SHA256");
    }
    SECTION("is ChaCha20 where one of them has not") {
        CHECK(cipher(false, true) == "TLS_CHACHA20_POLY1305_SHA256");
        CHECK(cipher(true, false) == "TLS_CHACHA20_POLY1305_SHA256");
        CHECK(cipher(false, false) == "TLS_CHACHA20_POLY1305_SHA256");
    }
}

TEST_CASE("the key exchange of a TLS connection is hybrid where OpenSSL has one") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const auto group = OpenSSL_version_num() >= 0x30500000 ? "X25519MLKEM768" : "x25519";
    CHECK(pair.client.engine.agreed() == pair.server.engine.agreed());
    CHECK(pair.server.engine.agreed() == pair.server.engine.cipher() + ", " + group);
}

TEST_CASE("data through a TLS connection arrives as it was sent") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const std::size_t size = GENERATE(as<std::size_t>(), 0, 1, 2, 100, 16377, 16383, 16384, 16385,
                                      32768, 131072, 1048583);
    const byte_vector up = noise(size, 1);
    const byte_vector down = noise(size, 2);
    CAPTURE(size);

    SECTION("whole") {
        REQUIRE_FALSE(pair.client.engine.encrypt(up, pair.client.out));
        REQUIRE_FALSE(pair.server.engine.encrypt(down, pair.server.out));
        exchange(pair.client, pair.server);
    }
    SECTION("cut at random") {
        REQUIRE_FALSE(pair.client.engine.encrypt(up, pair.client.out));
        REQUIRE_FALSE(pair.server.engine.encrypt(down, pair.server.out));
        exchange(pair.client, pair.server, random_cuts(static_cast<unsigned>(size)));
    }
    SECTION("with little room for the plaintext") {
        pair.client.room = 1000;
        pair.server.room = 16385;
        REQUIRE_FALSE(pair.client.engine.encrypt(up, pair.client.out));
        REQUIRE_FALSE(pair.server.engine.encrypt(down, pair.server.out));
        exchange(pair.client, pair.server, random_cuts(7, 50000));
    }
    CHECK(same(pair.server.received, up));
    CHECK(same(pair.client.received, down));
    CHECK_FALSE(pair.client.error);
    CHECK_FALSE(pair.server.error);
}

TEST_CASE("data through a TLS connection, byte by byte") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const byte_vector data = noise(40000, 3);
    REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
    pair.server.room = GENERATE(as<std::size_t>(), 1, 70, 65536);
    exchange(pair.client, pair.server, bytewise());
    CHECK(same(pair.server.received, data));
}

TEST_CASE("a batch of 128 KiB leaves as eight full records and nothing else") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    REQUIRE_FALSE(pair.client.engine.encrypt(noise(131072, 4), pair.client.out));
    const byte_vector flight = pair.client.flight();
    CHECK(flight.size() == 8 * full_record);
    for (std::size_t i = 0; i < 8; ++i)
        CHECK(flight.at(i * full_record) == 23);
}

TEST_CASE("decryption with room for the ciphertext and one record") {
    // A link relies on it: one call takes all that one read brought.
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const byte_vector data = noise(1 << 20, 5);
    REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
    const byte_vector flight = pair.client.flight();
    const auto cut = random_cuts(GENERATE(range(0U, 10U)), 60000);
    byte_vector received;
    bool always_all = true;
    for (std::span<const std::uint8_t> rest(flight); !rest.empty();) {
        const std::size_t piece = cut(rest.size());
        byte_vector plain(piece + tls_plaintext_held_max);
        const auto result = pair.server.engine.decrypt(rest.first(piece), plain, pair.server.out);
        REQUIRE_FALSE(result.error);
        always_all = always_all && !result.more && result.ciphertext_used == piece;
        received.insert(received.end(), plain.begin(),
                        plain.begin() + static_cast<std::ptrdiff_t>(result.plaintext));
        rest = rest.subspan(piece);
    }
    CHECK(always_all);
    CHECK(same(received, data));
}

TEST_CASE("decryption without room enough says so") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const byte_vector data = noise(20000, 6);
    REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
    const byte_vector flight = pair.client.flight();
    byte_vector plain(16000);

    auto result = pair.server.engine.decrypt(flight, plain, pair.server.out);
    CHECK(result.plaintext == 16000);
    CHECK(result.more);
    result = pair.server.engine.decrypt(std::span(flight).subspan(result.ciphertext_used), plain,
                                        pair.server.out);
    CHECK(result.plaintext == 4000);
    CHECK_FALSE(result.more);

    SECTION("even if all ciphertext was taken") {
        REQUIRE_FALSE(pair.client.engine.encrypt(std::span(data).first(16384), pair.client.out));
        const byte_vector record = pair.client.flight();
        result = pair.server.engine.decrypt(record, plain, pair.server.out);
        CHECK(result.ciphertext_used == record.size());
        CHECK(result.more);
        result = pair.server.engine.decrypt({}, plain, pair.server.out);
        CHECK(result.plaintext == 384);
        CHECK_FALSE(result.more);
    }
}

TEST_CASE("ciphertext that was changed on the way") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const byte_vector data = noise(3 * 16384, 8);
    REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
    byte_vector flight = pair.client.flight();

    SECTION("delivers what came before the damage, nothing of the damaged record, and ends") {
        const unsigned seed = GENERATE(range(0U, 40U));
        const std::size_t record = seed % 3;
        const std::size_t offset = 5 + std::mt19937(seed)() % (full_record - 5);
        CAPTURE(record, offset);
        flight.at(record * full_record + offset) ^= 0x10;
        pair.server.take(flight);
        CHECK(pair.server.error == link_errc::tls_damaged);
        CHECK_FALSE(pair.server.engine.error_text().empty());
        const auto intact = static_cast<std::ptrdiff_t>(record * 16384);
        CHECK(same(pair.server.received, {data.begin(), data.begin() + intact}));
    }
    SECTION("ends whatever bit of a record's header was changed") {
        const std::size_t position = GENERATE(range(0U, 5U));
        const unsigned bit = GENERATE(range(0U, 8U));
        CAPTURE(position, bit);
        flight.at(full_record + position) ^= static_cast<std::uint8_t>(1U << bit);
        pair.server.take(flight);
        CHECK(pair.server.received.size() == 16384);
        // Which reason is found depends on what else the changed header may mean.
        CHECK((pair.server.error == link_errc::tls_damaged ||
               pair.server.error == link_errc::tls_protocol));
    }
    SECTION("tells the sender by an alert") {
        flight.at(100) ^= 1;
        pair.server.take(flight);
        REQUIRE_FALSE(pair.server.out.empty());
        exchange(pair.server, pair.client);
        CHECK(pair.client.error == link_errc::tls_alert);
        CHECK(pair.client.engine.error_text().find("bad record mac") != std::string::npos);
    }
    SECTION("a record that comes twice ends the link") {
        byte_vector twice(flight.begin(), flight.begin() + full_record);
        twice.insert(twice.end(), twice.begin(), twice.begin() + full_record);
        pair.server.take(twice);
        CHECK(pair.server.received.size() == 16384);
        CHECK(pair.server.error == link_errc::tls_damaged);
    }
    SECTION("a record that is missing ends the link") {
        flight.erase(flight.begin(), flight.begin() + full_record);
        pair.server.take(flight);
        CHECK(pair.server.received.empty());
        CHECK(pair.server.error == link_errc::tls_damaged);
    }
    SECTION("the end is final") {
        flight.at(full_record + 9) ^= 1;
        pair.server.take(flight);
        byte_vector plain(1000);
        const auto again = pair.server.engine.decrypt(flight, plain, pair.server.out);
        CHECK(again.error == link_errc::tls_damaged);
        CHECK(again.plaintext == 0);
        CHECK(pair.server.engine.encrypt(data, pair.server.out) == link_errc::tls_damaged);
    }
}

TEST_CASE("a TLS connection that ends") {
    const tls_world world;
    tls_pair pair(world);
    pair.handshake();
    const byte_vector data = noise(5000, 9);

    SECTION("with close_notify is complete") {
        REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
        pair.client.engine.shutdown(pair.client.out);
        exchange(pair.client, pair.server);
        CHECK(pair.server.closed);
        CHECK(same(pair.server.received, data));
        CHECK_FALSE(pair.server.error);
        CHECK_FALSE(pair.server.engine.end_of_file());
    }
    SECTION("without it is not") {
        REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
        exchange(pair.client, pair.server);
        CHECK_FALSE(pair.server.closed);
        CHECK(pair.server.engine.end_of_file() == link_errc::connection_cut);
        CHECK_FALSE(pair.server.engine.error_text().empty());
    }
    SECTION("in the middle of a record is not") {
        REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
        const byte_vector flight = pair.client.flight();
        pair.server.take(std::span(flight).first(flight.size() - 1));
        CHECK(pair.server.received.empty());
        CHECK(pair.server.engine.end_of_file() == link_errc::connection_cut);
    }
    SECTION("in one direction still carries the other") {
        pair.client.engine.shutdown(pair.client.out);
        exchange(pair.client, pair.server);
        REQUIRE(pair.server.closed);
        REQUIRE_FALSE(pair.server.engine.encrypt(data, pair.server.out));
        exchange(pair.server, pair.client);
        CHECK(same(pair.client.received, data));
    }
    SECTION("takes nothing more after its own close_notify, which it says once") {
        pair.client.engine.shutdown(pair.client.out);
        const std::size_t size = pair.client.out.size();
        CHECK(size > 0);
        pair.client.engine.shutdown(pair.client.out);
        CHECK(pair.client.engine.encrypt(data, pair.client.out) == link_errc::not_connected);
        CHECK(pair.client.out.size() == size);
    }
    SECTION("ignores what follows the peer's close_notify") {
        pair.client.engine.shutdown(pair.client.out);
        byte_vector flight = pair.client.flight();
        flight.insert(flight.end(), 500, 0xee);
        pair.server.take(flight);
        CHECK(pair.server.closed);
        CHECK_FALSE(pair.server.error);
    }
}

TEST_CASE("a TLS connection before its handshake is done") {
    const tls_world world;
    tls_pair pair(world);

    SECTION("takes no data") {
        REQUIRE_FALSE(pair.client.engine.start_handshake(pair.client.out));
        pair.client.out.clear();
        CHECK(pair.client.engine.encrypt(noise(10, 1), pair.client.out) ==
              link_errc::not_connected);
        CHECK(pair.client.out.empty());
        CHECK(pair.client.engine.alpn().empty());
        CHECK(pair.client.engine.cipher().empty());
    }
    SECTION("says nothing when it is closed") {
        REQUIRE_FALSE(pair.server.engine.start_handshake(pair.server.out));
        pair.server.engine.shutdown(pair.server.out);
        CHECK(pair.server.out.empty());
    }
    SECTION("names the handshake when the connection ends") {
        REQUIRE_FALSE(pair.client.engine.start_handshake(pair.client.out));
        REQUIRE_FALSE(pair.server.engine.start_handshake(pair.server.out));
        CHECK(pair.client.engine.end_of_file() == link_errc::handshake_cut);
        CHECK(pair.client.engine.error_text().find("sent nothing") != std::string::npos);
        const byte_vector hello = pair.client.flight();
        pair.server.take(std::span(hello).first(hello.size() / 2));
        CHECK(pair.server.engine.end_of_file() == link_errc::handshake_cut);
        CHECK(pair.server.engine.error_text().find("middle") != std::string::npos);
    }
}

TEST_CASE("sending keys change after so many records") {
    const tls_world world;
    auto client = world.client_settings();
    auto server = world.server_settings();
    client.key_update_records = 3;
    server.key_update_records = 5;
    tls_pair pair(client, server);
    pair.handshake();

    SECTION("and nothing is lost, also when both sides do it at once") {
        const byte_vector up = noise(200 * 16384, 10);
        const byte_vector down = noise(100 * 16384 + 5, 11);
        const auto cut = random_cuts(GENERATE(1U, 2U, 3U));
        std::span<const std::uint8_t> up_rest(up);
        std::span<const std::uint8_t> down_rest(down);
        while (!up_rest.empty() || !down_rest.empty()) {
            const std::size_t up_piece = std::min<std::size_t>(up_rest.size(), 40000);
            const std::size_t down_piece = std::min<std::size_t>(down_rest.size(), 17000);
            REQUIRE_FALSE(pair.client.engine.encrypt(up_rest.first(up_piece), pair.client.out));
            REQUIRE_FALSE(pair.server.engine.encrypt(down_rest.first(down_piece), pair.server.out));
            up_rest = up_rest.subspan(up_piece);
            down_rest = down_rest.subspan(down_piece);
            exchange(pair.client, pair.server, cut);
        }
        CHECK(same(pair.server.received, up));
        CHECK(same(pair.client.received, down));
        // 82 calls of 3 records, and 97 of 2, which pass the limit with every third.
        CHECK(pair.client.engine.key_updates_sent() == 81);
        CHECK(pair.server.engine.key_updates_sent() == 32);
    }
    SECTION("and the records are counted, not the calls") {
        const byte_vector two_records(16385, 0x55);
        for (int i = 0; i < 2; ++i)
            REQUIRE_FALSE(pair.client.engine.encrypt(two_records, pair.client.out));
        CHECK(pair.client.engine.key_updates_sent() == 0);
        REQUIRE_FALSE(pair.client.engine.encrypt(two_records, pair.client.out));
        CHECK(pair.client.engine.key_updates_sent() == 1);
    }
    SECTION("and close_notify follows") {
        REQUIRE_FALSE(pair.client.engine.encrypt(byte_vector(60000, 1), pair.client.out));
        REQUIRE_FALSE(pair.client.engine.encrypt(byte_vector(1, 2), pair.client.out));
        REQUIRE(pair.client.engine.key_updates_sent() == 1);
        pair.client.engine.shutdown(pair.client.out);
        exchange(pair.client, pair.server);
        CHECK(pair.server.closed);
        CHECK(pair.server.received.size() == 60001);
    }
}

TEST_CASE("a TLS engine may be moved between calls") {
    const tls_world world;
    tls_pair pair(world);
    REQUIRE_FALSE(pair.client.engine.start_handshake(pair.client.out));
    REQUIRE_FALSE(pair.server.engine.start_handshake(pair.server.out));
    tls_peer client(std::move(pair.client.engine));
    client.out = std::move(pair.client.out);
    byte_vector hello = client.flight();
    pair.server.take(std::span(hello).first(50));
    tls_peer server(std::move(pair.server.engine));
    server.take(std::span(hello).subspan(50));
    exchange(client, server);
    REQUIRE(server.engine.handshake_done());

    tls_peer last(tls_engine{tls_context(world.server_settings())});
    last.engine = std::move(server.engine);
    const byte_vector data = noise(30000, 12);
    REQUIRE_FALSE(client.engine.encrypt(data, client.out));
    exchange(client, last);
    CHECK(same(last.received, data));
}

TEST_CASE("no sessions are kept or offered by TLS") {
    // The server says nothing after its handshake: no tickets.
    const tls_world world;
    tls_pair pair(world);
    REQUIRE_FALSE(pair.server.engine.start_handshake(pair.server.out));
    REQUIRE_FALSE(pair.client.engine.start_handshake(pair.client.out));
    pair.server.take(pair.client.flight());
    pair.client.take(pair.server.flight());
    pair.server.take(pair.client.flight());
    CHECK(agree(pair));
    CHECK(pair.server.out.empty());
}
