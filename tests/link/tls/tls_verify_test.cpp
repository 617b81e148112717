#include "protocol/link/tls/tls_verify.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "tests/catch.hpp"
#include "tests/link/tls/tls_pair.hpp"

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

std::string pin_of(const credential& credential) {
    return pin_text(certificate_pin(credential.certificate.get()));
}

/// Whether the client accepted the server and both can send.
bool connects(tls_pair& pair) {
    pair.handshake();
    return !pair.client.error && !pair.server.error && pair.client.engine.handshake_done() &&
           pair.server.engine.handshake_done();
}

/// The client refuses with this code, the server learns of it, and no data goes through.
void check_refused_by_client(tls_pair& pair, link_errc code) {
    pair.handshake();
    CHECK(pair.client.error == code);
    CHECK(pair.server.error == link_errc::certificate_refused);
    CHECK_THAT(pair.server.engine.error_text(), contains("the client refused"));
    const byte_vector data(10, 1);
    CHECK(pair.client.engine.encrypt(data, pair.client.out));
}

} // namespace

TEST_CASE("a client verifies the server's chain") {
    const tls_world world;
    auto client = world.client_settings();

    SECTION("and accepts a certificate of its CA") {
        tls_pair pair(client, world.server_settings());
        CHECK(connects(pair));
    }
    SECTION("and accepts one of an intermediate CA that the server sends along") {
        const credential intermediate = make_ca("intermediate", &world.ca);
        const credential server = make_credential({}, &intermediate);
        auto settings = world.server_settings(server);
        settings.certificate_file =
            world.dir.write("chain", server.certificate_pem() + intermediate.certificate_pem());
        tls_pair pair(client, settings);
        CHECK(connects(pair));
    }
    SECTION("and refuses one whose intermediate CA is not sent") {
        const credential intermediate = make_ca("intermediate", &world.ca);
        tls_pair pair(client, world.server_settings(make_credential({}, &intermediate)));
        check_refused_by_client(pair, link_errc::certificate_untrusted);
    }
    SECTION("and trusts an intermediate CA, or a certificate itself, that is named as its CA") {
        const credential intermediate = make_ca("intermediate", &world.ca);
        const credential server = make_credential({}, &intermediate);
        client.ca_file = world.write_ca(intermediate);
        tls_pair below_intermediate(client, world.server_settings(server));
        CHECK(connects(below_intermediate));
        client.ca_file = world.write_ca(server);
        tls_pair itself(client, world.server_settings(server));
        CHECK(connects(itself));
    }
    SECTION("and refuses an unknown CA, naming the file, the certificate and its pin") {
        client.ca_file = world.write_ca(make_ca("another CA"));
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::certificate_untrusted);
        const std::string& text = pair.client.engine.error_text();
        CHECK_THAT(text, contains(client.ca_file));
        CHECK_THAT(text, contains("CN=muxsocks test, issued by CN=muxsocks test CA"));
        CHECK_THAT(text, contains(pin_of(world.server)));
    }
    SECTION("and refuses a CA of the same name with another key") {
        client.ca_file = world.write_ca(make_ca("muxsocks test CA"));
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::certificate_untrusted);
    }
    SECTION("and refuses a self-signed certificate") {
        tls_pair pair(client, world.server_settings(make_credential({})));
        check_refused_by_client(pair, link_errc::certificate_untrusted);
    }
    SECTION("and without a CA file trusts the system's, which do not know ours") {
        client.ca_file.clear();
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::certificate_untrusted);
        CHECK_THAT(pair.client.engine.error_text(), contains("this system trusts"));
    }
}

TEST_CASE("a client verifies the server's dates") {
    const tls_world world;
    certificate_fields fields;

    SECTION("and refuses an expired certificate, with its date") {
        fields.not_before_days = -30;
        fields.not_after_days = -2;
        const credential server = make_credential(fields, &world.ca);
        tls_pair pair(world.client_settings(), world.server_settings(server));
        check_refused_by_client(pair, link_errc::certificate_expired);
        CHECK_THAT(pair.client.engine.error_text(), contains("CN=muxsocks test) expired on 20"));
        CHECK_THAT(pair.client.engine.error_text(), contains("UTC; have it renewed"));
    }
    SECTION("and refuses one that is not valid yet") {
        fields.not_before_days = 2;
        tls_pair pair(world.client_settings(),
                      world.server_settings(make_credential(fields, &world.ca)));
        check_refused_by_client(pair, link_errc::certificate_not_yet_valid);
        CHECK_THAT(pair.client.engine.error_text(), contains("machine's clock, which says 20"));
    }
    SECTION("and refuses one below an expired CA") {
        fields.common_name = "old CA";
        fields.is_ca = true;
        fields.not_before_days = -30;
        fields.not_after_days = -2;
        const credential old_ca = make_credential(fields);
        auto client = world.client_settings();
        client.ca_file = world.write_ca(old_ca);
        tls_pair pair(client, world.server_settings(make_credential({}, &old_ca)));
        check_refused_by_client(pair, link_errc::certificate_expired);
        CHECK_THAT(pair.client.engine.error_text(), contains("the CA of the server's"));
        CHECK_THAT(pair.client.engine.error_text(), contains("CN=old CA"));
    }
}

TEST_CASE("a client verifies the server's name") {
    const tls_world world;
    auto client = world.client_settings();

    SECTION("and accepts each that the certificate bears, in all spellings") {
        client.server_name =
            GENERATE(as<std::string>(), "server.example", "SERVER.example", "server.example.",
                     "a.wild.example", "127.0.0.1", "::1", "[::1]", "0:0:0:0:0:0:0:1");
        CAPTURE(client.server_name);
        tls_pair pair(client, world.server_settings());
        CHECK(connects(pair));
    }
    SECTION("and refuses another, listing those that it bears") {
        client.server_name = GENERATE(as<std::string>(), "other.example", "wild.example",
                                      "a.b.wild.example", "127.0.0.2", "::2");
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::certificate_name_mismatch);
        const std::string& text = pair.client.engine.error_text();
        CHECK_THAT(text, contains("not for '" + client.server_name + "'"));
        CHECK_THAT(text, contains("'server.example', '*.wild.example', '127.0.0.1', '::1'"));
    }
    SECTION("and an engine's own name goes before the settings'") {
        tls_pair pair(client, world.server_settings());
        pair.client.engine = tls_engine(tls_context(client), "other.example");
        check_refused_by_client(pair, link_errc::certificate_name_mismatch);
        client.server_name = "other.example";
        tls_pair good(client, world.server_settings());
        good.client.engine = tls_engine(tls_context(client), "server.example");
        CHECK(connects(good));
    }
    SECTION("and does not begin without one") {
        client.server_name.clear();
        tls_pair pair(client, world.server_settings());
        pair.handshake();
        CHECK(pair.client.error == link_errc::server_name_missing);
        CHECK(pair.client.out.empty());
    }
    SECTION("and does not begin with one that is none") {
        client.server_name = std::string(300, 'a');
        tls_pair pair(client, world.server_settings());
        pair.handshake();
        CHECK(pair.client.error == link_errc::server_name_missing);
        CHECK_THAT(pair.client.engine.error_text(), contains("aaa"));
    }
    SECTION("and shows the names of a hostile certificate as harmless text") {
        certificate_fields fields;
        fields.common_name = "a\nb\x1b[2J\xc3\xa9";
        fields.alternative_names = "DNS:x\x1b[2Jy";
        tls_pair pair(client, world.server_settings(make_credential(fields, &world.ca)));
        check_refused_by_client(pair, link_errc::certificate_name_mismatch);
        CHECK_THAT(pair.client.engine.error_text(), contains("'x?[2Jy'"));
        tls_pair unknown(client, world.server_settings(make_credential(fields)));
        check_refused_by_client(unknown, link_errc::certificate_untrusted);
        CHECK_THAT(unknown.client.engine.error_text(), contains("CN=a\\0Ab\\1B[2J\\C3\\A9"));
    }
}

TEST_CASE("a pin alone replaces chain, name and dates") {
    const tls_world world;
    certificate_fields fields;
    fields.alternative_names = "DNS:unrelated.example";
    fields.not_before_days = -30;
    fields.not_after_days = -2;
    const credential server = make_credential(fields);
    tls_settings client;
    client.pins = {pin_of(server)};

    SECTION("the right key is accepted, with a server name or without") {
        client.server_name = GENERATE(as<std::string>(), "", "server.example", "127.0.0.1");
        tls_pair pair(client, world.server_settings(server));
        CHECK(connects(pair));
        // The pin says whose key it is, but the subject is only what the certificate claims.
        CHECK(pair.client.engine.peer_subject().empty());
        CHECK(pin_text(*pair.client.engine.peer_pin()) == pin_of(server));
    }
    SECTION("one of several suffices") {
        client.pins = {pin_of(world.server), pin_of(server)};
        tls_pair pair(client, world.server_settings(server));
        CHECK(connects(pair));
    }
    SECTION("a renewed certificate with the same key is accepted") {
        credential renewed = make_credential({}, &world.ca);
        X509_set_pubkey(renewed.certificate.get(), server.key.get());
        X509_sign(renewed.certificate.get(), world.ca.key.get(), EVP_sha256());
        EVP_PKEY_up_ref(server.key.get());
        renewed.key.reset(server.key.get());
        tls_pair pair(client, world.server_settings(renewed));
        CHECK(connects(pair));
    }
    SECTION("another key is refused, and both pins are named") {
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::pin_mismatch);
        const std::string& text = pair.client.engine.error_text();
        CHECK_THAT(text, contains("does not match the pin " + pin_of(server)));
        CHECK_THAT(text, contains("it is " + pin_of(world.server)));
    }
    SECTION("another key is refused where several are pinned") {
        client.pins.push_back(pin_of(world.ca));
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::pin_mismatch);
        CHECK_THAT(pair.client.engine.error_text(),
                   contains("any of the pins " + pin_of(server) + ", " + pin_of(world.ca)));
    }
    SECTION("the pin of the CA is not one of the server") {
        client.pins = {pin_of(world.ca)};
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::pin_mismatch);
    }
}

TEST_CASE("with a CA and a pin both must hold") {
    const tls_world world;
    auto client = world.client_settings();

    SECTION("both do") {
        client.pins = {pin_of(world.server)};
        tls_pair pair(client, world.server_settings());
        CHECK(connects(pair));
        CHECK(pair.client.engine.peer_subject() == "CN=muxsocks test");
    }
    SECTION("the pin does not") {
        client.pins = {pin_of(world.ca)};
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::pin_mismatch);
    }
    SECTION("the chain does not") {
        const credential stranger = make_credential({});
        client.pins = {pin_of(stranger)};
        tls_pair pair(client, world.server_settings(stranger));
        check_refused_by_client(pair, link_errc::certificate_untrusted);
    }
    SECTION("the name does not") {
        client.pins = {pin_of(world.server)};
        client.server_name = "other.example";
        tls_pair pair(client, world.server_settings());
        check_refused_by_client(pair, link_errc::certificate_name_mismatch);
    }
}

TEST_CASE("a server that asks for client certificates") {
    const tls_world world;
    const credential client_ca = make_ca("client CA");
    certificate_fields fields;
    fields.common_name = "alice";
    fields.alternative_names.clear();
    auto server = world.server_settings();
    server.client_ca_file = world.write_ca(client_ca);

    // The client learns of a refusal only after its own handshake (RFC 8446 section 4.4.2.4).
    const auto check_refused_by_server = [](tls_pair& pair, link_errc code) {
        pair.handshake();
        CHECK(pair.server.error == code);
        CHECK_FALSE(pair.server.engine.handshake_done());
        CHECK(pair.server.engine.peer_subject().empty());
        CHECK(pair.client.error == link_errc::certificate_refused);
    };

    SECTION("accepts one of its CA, and knows its subject") {
        tls_pair pair(world.client_settings(make_credential(fields, &client_ca)), server);
        CHECK(connects(pair));
        CHECK(pair.server.engine.peer_subject() == "CN=alice");
        CHECK(pair.server.engine.peer_pin());
        const byte_vector data = noise(50000, 1);
        REQUIRE_FALSE(pair.client.engine.encrypt(data, pair.client.out));
        exchange(pair.client, pair.server, random_cuts(1));
        CHECK(same(pair.server.received, data));
    }
    SECTION("refuses a client without one, and both are told what to set") {
        tls_pair pair(world.client_settings(), server);
        check_refused_by_server(pair, link_errc::certificate_missing);
        CHECK_THAT(pair.server.engine.error_text(), contains("tls.client_ca"));
        CHECK_THAT(pair.client.engine.error_text(),
                   contains("wants a certificate from this client (alert: certificate required"));
        CHECK_THAT(pair.client.engine.error_text(), contains("tls.cert and tls.key"));
    }
    SECTION("refuses one of another CA") {
        tls_pair pair(world.client_settings(make_credential(fields, &world.ca)), server);
        check_refused_by_server(pair, link_errc::certificate_untrusted);
        CHECK_THAT(pair.server.engine.error_text(), contains("the client's certificate (CN=alice"));
        CHECK_THAT(pair.server.engine.error_text(), contains(server.client_ca_file));
        CHECK_THAT(pair.client.engine.error_text(), contains("refused this client's certificate"));
    }
    SECTION("refuses an expired one") {
        fields.not_before_days = -30;
        fields.not_after_days = -2;
        tls_pair pair(world.client_settings(make_credential(fields, &client_ca)), server);
        check_refused_by_server(pair, link_errc::certificate_expired);
    }
}
