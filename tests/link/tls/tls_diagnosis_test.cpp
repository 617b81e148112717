#include "protocol/link/tls/tls_diagnosis.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "tests/catch.hpp"
#include "tests/link/tls/tls_pair.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

/// A peer that is not this project's: plain OpenSSL on memory BIOs.
class foreign_peer {
  public:
    foreign_peer(bool is_server, const credential& certificate, int version,
                 std::string_view alpn_list = {})
        : ctx_(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method())) {
        SSL_CTX_set_min_proto_version(ctx_.get(), version);
        SSL_CTX_set_max_proto_version(ctx_.get(), version);
        if (is_server) {
            SSL_CTX_use_certificate(ctx_.get(), certificate.certificate.get());
            SSL_CTX_use_PrivateKey(ctx_.get(), certificate.key.get());
        }
        ssl_.reset(SSL_new(ctx_.get()));
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        if (!alpn_list.empty())
            SSL_set_alpn_protos(ssl_.get(),
                                reinterpret_cast<const unsigned char*>(alpn_list.data()),
                                static_cast<unsigned>(alpn_list.size()));
        is_server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
    }

    SSL* ssl() { return ssl_.get(); }

    /// Handshakes with our end until neither has anything to say.
    void meet(tls_peer& ours) {
        ours.error = ours.engine.start_handshake(ours.out);
        for (int round = 0; round < 10; ++round) {
            SSL_do_handshake(ssl_.get());
            ours.take(sent());
            const byte_vector bytes = ours.flight();
            BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
        }
    }

    byte_vector sent() {
        byte_vector bytes(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())));
        BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
        return bytes;
    }

  private:
    struct ssl_free {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };

    ssl_ctx_ptr ctx_;
    std::unique_ptr<SSL, ssl_free> ssl_;
};

byte_vector bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

} // namespace

TEST_CASE("a TLS server that gets something else") {
    const tls_world world;
    tls_peer server(tls_engine{tls_context(world.server_settings())});
    REQUIRE_FALSE(server.engine.start_handshake(server.out));

    SECTION("names HTTP") {
        server.take(bytes_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK_THAT(server.engine.error_text(), contains("it looks like HTTP"));
    }
    SECTION("names a request to an HTTP proxy") {
        server.take(bytes_of("CONNECT a:443 HTTP/1.1\r\n\r\n"));
        CHECK_THAT(server.engine.error_text(), contains("it looks like HTTP"));
    }
    SECTION("names muxsocks without TLS") {
        server.take(bytes_of(std::string("\0\0\0\0\x40\0\x20\x01", 8)));
        CHECK_THAT(server.engine.error_text(), contains("muxsocks without TLS"));
        CHECK_THAT(server.engine.error_text(), contains("tls.enabled"));
    }
    SECTION("says so, byte by byte too") {
        for (const std::uint8_t byte : bytes_of("\x05\x01\x00 and more"))
            server.take(std::span(&byte, 1));
        server.take(byte_vector(300, 0x05));
        CHECK_THAT(server.engine.error_text(), contains("the client sends is not TLS"));
    }
    CHECK(server.error == link_errc::peer_not_tls);
}

TEST_CASE("a TLS client whose server is something else") {
    const tls_world world;
    tls_peer client(tls_engine{tls_context(world.client_settings())});
    REQUIRE_FALSE(client.engine.start_handshake(client.out));

    SECTION("says so") {
        client.take(bytes_of("220 mail.example ESMTP\r\n"));
        CHECK(client.error == link_errc::peer_not_tls);
        CHECK_THAT(client.engine.error_text(), contains("check the server's address and port"));
    }
    SECTION("names SSH") {
        client.take(bytes_of("SSH-2.0-OpenSSH_9.2\r\n"));
        CHECK(client.error == link_errc::peer_not_tls);
        CHECK_THAT(client.engine.error_text(), contains("it looks like SSH"));
    }
    SECTION("says so at the end of the connection, if too little came to tell before") {
        client.take(bytes_of("HT"));
        CHECK_FALSE(client.error);
        CHECK(client.engine.end_of_file() == link_errc::peer_not_tls);
    }
    SECTION("is told by a server that closes in an orderly way in the middle") {
        client.take(byte_vector{21, 3, 3, 0, 2, 1, 0}); // alert close_notify
        CHECK(client.error == link_errc::handshake_cut);
    }
    SECTION("names another alert") {
        client.take(byte_vector{21, 3, 3, 0, 2, 2, 40});
        CHECK(client.error == link_errc::tls_alert);
        CHECK_THAT(client.engine.error_text(), contains("handshake failure 40"));
    }
    SECTION("names an alert that nobody knows") {
        client.take(byte_vector{21, 3, 3, 0, 2, 2, 201});
        CHECK(client.error == link_errc::tls_alert);
        CHECK_THAT(client.engine.error_text(), contains("201"));
    }
    SECTION("ends at a handshake that makes no sense") {
        byte_vector record(45, 0x77);
        const byte_vector begin{22, 3, 3, 0, 40, 2, 0, 0, 36};
        std::copy(begin.begin(), begin.end(), record.begin());
        client.take(record);
        CHECK(client.error);
        CHECK_FALSE(client.engine.error_text().empty());
        CHECK_FALSE(client.out.empty());
    }
}

TEST_CASE("peers of other TLS versions") {
    const tls_world world;

    SECTION("a server of TLS 1.2 is refused") {
        tls_peer client(tls_engine{tls_context(world.client_settings())});
        foreign_peer server(true, world.server, TLS1_2_VERSION);
        server.meet(client);
        CHECK(client.error == link_errc::tls_version);
        CHECK_THAT(client.engine.error_text(), contains("the server does not speak TLS 1.3"));
    }
    SECTION("a client of TLS 1.2 is refused") {
        tls_peer server(tls_engine{tls_context(world.server_settings())});
        foreign_peer client(false, world.server, TLS1_2_VERSION);
        client.meet(server);
        CHECK(server.error == link_errc::tls_version);
        CHECK_THAT(server.engine.error_text(), contains("the client does not speak TLS 1.3"));
    }
}

TEST_CASE("ALPN") {
    const tls_world world;
    tls_peer server(tls_engine{tls_context(world.server_settings())});
    tls_peer client(tls_engine{tls_context(world.client_settings())});

    SECTION("without it a client is served, and nothing is agreed on") {
        foreign_peer plain(false, world.server, TLS1_3_VERSION);
        plain.meet(server);
        CHECK(server.engine.handshake_done());
        CHECK(server.engine.alpn().empty());
    }
    SECTION("is found among other names") {
        foreign_peer both(false, world.server, TLS1_3_VERSION, "\x02h2\x0amuxsocks/2\x08http/1.1");
        both.meet(server);
        CHECK(server.engine.handshake_done());
        CHECK(server.engine.alpn() == "muxsocks/2");
    }
    SECTION("with other names only, a client is refused") {
        foreign_peer browser(false, world.server, TLS1_3_VERSION,
                             GENERATE(as<std::string>(), "\x02h2\x08http/1.1", "\x0amuxsocks/3",
                                      "\x09muxsocks/", "\x0bmuxsocks/2x"));
        browser.meet(server);
        CHECK(server.error == link_errc::alpn_refused);
        CHECK_FALSE(server.engine.handshake_done());
        CHECK_THAT(server.engine.error_text(), contains("offers other protocols"));
    }
    SECTION("a server that does not know it leaves it empty") {
        foreign_peer plain(true, world.server, TLS1_3_VERSION);
        plain.meet(client);
        CHECK(client.engine.handshake_done());
        CHECK(client.engine.alpn().empty());
    }
    SECTION("a server that refuses ours is named") {
        client.error = client.engine.start_handshake(client.out);
        client.take(byte_vector{21, 3, 3, 0, 2, 2, 120}); // alert no_application_protocol
        CHECK(client.error == link_errc::alpn_refused);
        CHECK_THAT(client.engine.error_text(), contains("refuses the protocol muxsocks/2"));
    }
}

TEST_CASE("a foreign peer within the rules of TLS 1.3") {
    const tls_world world;
    tls_peer client(tls_engine{tls_context(world.client_settings())});

    SECTION("may send session tickets") {
        foreign_peer server(true, world.server, TLS1_3_VERSION);
        server.meet(client);
        REQUIRE(SSL_new_session_ticket(server.ssl()) == 1);
        SSL_write(server.ssl(), "hello", 5);
        client.take(server.sent());
        CHECK(client.received == bytes_of("hello"));
        CHECK_FALSE(client.error);
    }
    SECTION("gets the key update that it asks for") {
        foreign_peer server(true, world.server, TLS1_3_VERSION);
        server.meet(client);
        REQUIRE(SSL_key_update(server.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
        SSL_write(server.ssl(), "hello", 5);
        client.take(server.sent());
        CHECK(client.received == bytes_of("hello"));
        REQUIRE_FALSE(client.engine.encrypt(bytes_of("reply"), client.out));
        const byte_vector reply = client.flight();
        BIO_write(SSL_get_rbio(server.ssl()), reply.data(), static_cast<int>(reply.size()));
        char text[10] = {};
        CHECK(SSL_read(server.ssl(), text, sizeof text) == 5);
        CHECK(std::string(text) == "reply");
    }
    SECTION("may send records of any size") {
        foreign_peer server(true, world.server, TLS1_3_VERSION);
        server.meet(client);
        byte_vector expected;
        for (int size : {1, 700, 16384}) {
            const byte_vector data = noise(static_cast<std::size_t>(size), 1);
            SSL_write(server.ssl(), data.data(), size);
            expected.insert(expected.end(), data.begin(), data.end());
        }
        client.take(server.sent());
        CHECK(same(client.received, expected));
    }
}
