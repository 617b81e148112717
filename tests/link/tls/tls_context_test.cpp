#include "protocol/link/tls/tls_context.hpp"

#include "tests/catch.hpp"
#include "tests/link/tls/tls_pair.hpp"

#include <unistd.h>

#include <filesystem>
#include <stdexcept>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

/// The sentence with which a context is refused; empty if it is not.
std::string refusal(const tls_settings& settings) {
    try {
        const tls_context context(settings);
        return {};
    } catch (const std::runtime_error& error) {
        return error.what();
    }
}

} // namespace

TEST_CASE("the files of a server's TLS settings") {
    const tls_world world;
    auto settings = world.server_settings();

    SECTION("are accepted") { CHECK(refusal(settings).empty()); }
    SECTION("may be one and the same, in any order") {
        const std::string both = GENERATE(true, false)
                                     ? world.server.key_pem() + world.server.certificate_pem()
                                     : world.server.certificate_pem() + world.server.key_pem();
        settings.certificate_file = settings.key_file = world.dir.write("both.pem", both);
        CHECK(refusal(settings).empty());
    }
    SECTION("are needed") {
        settings.certificate_file.clear();
        CHECK_THAT(refusal(settings), contains("tls.cert and tls.key belong together"));
        settings.key_file.clear();
        CHECK_THAT(refusal(settings), contains("needs a certificate: set tls.cert and tls.key"));
    }
    SECTION("are named when they are missing") {
        settings.certificate_file = "/no/such/cert.pem";
        CHECK_THAT(refusal(settings), contains("'/no/such/cert.pem' (tls.cert)"));
        CHECK_THAT(refusal(settings), contains("No such file"));
        settings = world.server_settings();
        settings.key_file = "/no/such/key.pem";
        CHECK_THAT(refusal(settings), contains("'/no/such/key.pem' (tls.key)"));
        settings = world.server_settings();
        settings.client_ca_file = "/no/such/ca.pem";
        CHECK_THAT(refusal(settings), contains("'/no/such/ca.pem' (tls.client_ca)"));
    }
    SECTION("may not be folders") {
        settings.certificate_file = world.dir.path();
        CHECK_THAT(refusal(settings), contains("(tls.cert) cannot be read: Is a directory"));
    }
    SECTION("may not be mixed up") {
        std::swap(settings.certificate_file, settings.key_file);
        CHECK_THAT(refusal(settings), contains("(tls.cert) holds no PEM certificate"));
        CHECK_THAT(refusal(settings), contains("mixed up"));
        settings = world.server_settings();
        settings.key_file = settings.certificate_file;
        CHECK_THAT(refusal(settings), contains("(tls.key) holds no PEM private key"));
        CHECK_THAT(refusal(settings), contains("mixed up"));
    }
    SECTION("may not be empty or other text") {
        settings.certificate_file = world.dir.write("empty", "");
        CHECK_THAT(refusal(settings), contains("expected -----BEGIN CERTIFICATE-----"));
        settings = world.server_settings();
        settings.key_file = world.dir.write("other", "hello");
        CHECK_THAT(refusal(settings), contains("expected -----BEGIN PRIVATE KEY-----"));
    }
    SECTION("may not be damaged, and the damaged certificate is numbered") {
        std::string damaged = world.ca.certificate_pem();
        damaged.replace(200, 8, "!!!!!!!!");
        settings.certificate_file =
            world.dir.write("damaged", world.server.certificate_pem() + damaged);
        CHECK_THAT(refusal(settings), contains("certificate number 2 cannot be read"));
        settings = world.server_settings();
        std::string key = world.server.key_pem();
        key.replace(60, 8, "AAAAAAAA");
        settings.key_file = world.dir.write("damaged-key", key);
        CHECK_THAT(refusal(settings), contains("is damaged or of an unknown kind"));
    }
    SECTION("may not be cut short") {
        const std::string certificate = world.server.certificate_pem();
        settings.certificate_file =
            world.dir.write("cut", certificate.substr(0, certificate.size() / 2));
        CHECK_THAT(refusal(settings), contains("certificate number 1 cannot be read"));
    }
    SECTION("may not have an encrypted key, and the cure is told") {
        settings.key_file = world.dir.write("encrypted", world.server.encrypted_key_pem());
        CHECK_THAT(refusal(settings), contains("is encrypted"));
        CHECK_THAT(refusal(settings), contains("openssl pkey -in"));
    }
    SECTION("may not have the key of another certificate") {
        settings.key_file = world.dir.write("other-key", world.ca.key_pem());
        CHECK_THAT(refusal(settings), contains("'" + settings.key_file + "' (tls.key)"));
        CHECK_THAT(refusal(settings), contains("does not belong to the certificate in '" +
                                               settings.certificate_file + "'"));
    }
    SECTION("may not be endless") {
        settings.certificate_file = "/dev/zero";
        CHECK_THAT(refusal(settings), contains("too large"));
    }
}

TEST_CASE("the files of a client's TLS settings") {
    const tls_world world;
    auto settings = world.client_settings();

    SECTION("are accepted") { CHECK(refusal(settings).empty()); }
    SECTION("may be none") { CHECK(refusal({}).empty()); }
    SECTION("are named when they are wrong") {
        settings.ca_file = world.dir.write("not-a-ca", "hello");
        CHECK_THAT(refusal(settings), contains("'" + settings.ca_file + "' (tls.ca)"));
    }
    SECTION("need certificate and key together") {
        settings.key_file = world.dir.write("key", world.server.key_pem());
        CHECK_THAT(refusal(settings), contains("tls.cert and tls.key belong together"));
    }
    SECTION("may hold the same CA twice") {
        settings.ca_file =
            world.dir.write("twice", world.ca.certificate_pem() + world.ca.certificate_pem());
        CHECK(refusal(settings).empty());
    }
    SECTION("come with pins that are pins") {
        settings.pins = {"sha256/abc"};
        CHECK_THAT(refusal(settings), contains("'sha256/abc' (tls.pin_sha256) is not a pin"));
        CHECK_THAT(refusal(settings), contains("64 hex digits"));
    }
}

TEST_CASE("a pin as text") {
    // A digest whose base64 begins with a slash, which is also what some prefixes end with.
    sha256_digest pin{};
    pin[0] = 0xff;
    pin[31] = 0xfb;
    const std::string base64 = "/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPs=";
    const std::string hex = "ff000000000000000000000000000000000000000000000000000000000000fb";
    const std::string colons =
        "FF:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
        "00:00:FB";

    SECTION("is written as base64") { CHECK(pin_text(pin) == "sha256:" + base64); }
    SECTION("is read in every usual form") {
        const std::string prefix =
            GENERATE(as<std::string>(), "", "sha256:", "sha256/", "sha256//");
        CAPTURE(prefix);
        CHECK(parse_pin(prefix + base64) == pin);
        CHECK(parse_pin(prefix + base64.substr(0, 43)) == pin);
        CHECK(parse_pin(prefix + "_" + base64.substr(1)) == pin);
        CHECK(parse_pin(prefix + hex) == pin);
        CHECK(parse_pin(prefix + colons) == pin);
    }
    SECTION("is nothing else") {
        CHECK_FALSE(parse_pin(""));
        CHECK_FALSE(parse_pin("sha256:"));
        CHECK_FALSE(parse_pin("sha1:" + base64));
        CHECK_FALSE(parse_pin(base64 + "="));
        CHECK_FALSE(parse_pin(base64 + " "));
        CHECK_FALSE(parse_pin(hex + "00"));
        CHECK_FALSE(parse_pin(hex.substr(1)));
        CHECK_FALSE(parse_pin("g" + hex.substr(1)));
        CHECK_FALSE(parse_pin(base64.substr(0, 42)));
        // The last digit has two bits that no byte holds.
        CHECK_FALSE(parse_pin(base64.substr(0, 42) + "t="));
    }
}

TEST_CASE("the pin of a certificate file") {
    const temp_dir dir;
    // Made with openssl req; its pin with: openssl x509 -pubkey -noout | openssl pkey -pubin
    // -outform der | openssl dgst -sha256 -binary | base64
    const std::string certificate =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBeTCCAR+gAwIBAgIUJ4E8N2IEO8enm2UfkuAOAwgjSAswCgYIKoZIzj0EAwIw\n"
        "ETEPMA0GA1UEAwwGcGlubmVkMCAXDTI2MTEyMzAyNTUwOFoYDzIxMjYxMDMwMDI1\n"
        "NTA4WjARMQ8wDQYDVQQDDAZwaW5uZWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
        "AATBFxL4JYbsWSQGM4Kl6T9JZNc/EU+dgNULv4I6R6eXnLTSRxoERC7Fc16Mtq3i\n"
        "mHXonZ3T62fEaeTTYbqdNFObo1MwUTAdBgNVHQ4EFgQU0EWItIZ2CCVkSJ5IxdbJ\n"
        "nBMIOqkwHwYDVR0jBBgwFoAU0EWItIZ2CCVkSJ5IxdbJnBMIOqkwDwYDVR0TAQH/\n"
        "BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAzCyjzb6uL98K7AYnJoBfdYOlg8AY\n"
        "wfJR/Y0lbiSPfKECIFFjOL1VGVmrr2aKmctX5b6fZq0w5lo7B69/1CEtUto3\n"
        "-----END CERTIFICATE-----\n";
    CHECK(pin_text(spki_pin_of(dir.write("cert.pem", certificate))) ==
          "sha256:SeR9thuDop/K/l6vZUKDgwNBGzMIVla8ROFwCPQxzWU=");
    CHECK_THROWS_WITH(spki_pin_of("/no/such/file"), contains("/no/such/file"));
}

TEST_CASE("a context knows its own certificate") {
    const tls_world world;
    const tls_context server(world.server_settings());
    const auto in_30_days = std::chrono::system_clock::now() + std::chrono::hours(30 * 24);
    REQUIRE(server.certificate_not_after());
    CHECK(*server.certificate_not_after() > in_30_days - std::chrono::minutes(10));
    CHECK(*server.certificate_not_after() <= in_30_days);
    CHECK(server.certificate_pin() == spki_pin_of(world.server_settings().certificate_file));
    CHECK(server.role() == tls_role::server);

    const tls_context client(world.client_settings());
    CHECK_FALSE(client.certificate_not_after());
    CHECK_FALSE(client.certificate_pin());
    CHECK(client.role() == tls_role::client);
}

TEST_CASE("a renewed certificate") {
    const tls_world world;
    const auto settings = world.server_settings();
    const auto client = world.client_settings();
    tls_pair old(client, settings);
    old.handshake();
    const credential renewed = make_credential({}, &world.ca);
    const std::filesystem::path folder(world.dir.path());
    world.dir.write(std::filesystem::path(settings.certificate_file).filename(),
                    renewed.certificate_pem());
    world.dir.write(std::filesystem::path(settings.key_file).filename(), renewed.key_pem());

    SECTION("is served by a context that is made anew") {
        tls_pair fresh(client, settings);
        fresh.handshake();
        CHECK(fresh.client.engine.peer_pin() == spki_pin_of(settings.certificate_file));
        CHECK(fresh.client.engine.peer_pin() != old.client.engine.peer_pin());
    }
    SECTION("leaves engines alone whose context is gone") {
        const byte_vector data = noise(100000, 1);
        REQUIRE_FALSE(old.server.engine.encrypt(data, old.server.out));
        exchange(old.server, old.client);
        CHECK(same(old.client.received, data));
    }
}
