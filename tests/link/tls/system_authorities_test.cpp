#include "protocol/link/tls/system_authorities.hpp"

#include "protocol/link/tls/openssl_handle.hpp"
#include "tests/catch.hpp"
#include "tests/link/tls/tls_certificates.hpp"
#include "tests/temporary_folder.hpp"

#include <filesystem>
#include <memory>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

namespace fs = std::filesystem;

} // namespace

TEST_CASE("the file of the authorities that a system trusts") {
    const temp_dir system;
    const fs::path root = system.path();

    SECTION("is found where each distribution has it") {
        const auto file =
            root / GENERATE("etc/ssl/certs/ca-certificates.crt",                // Debian
                            "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
                            "etc/pki/tls/certs/ca-bundle.crt",                  // RHEL
                            "etc/ssl/ca-bundle.pem",                            // SUSE
                            "etc/ssl/cert.pem");                                // Alpine
        fs::create_directories(file.parent_path());
        temp_dir elsewhere;
        // As most have it, behind a link.
        fs::create_symlink(elsewhere.write("bundle", ""), file);
        CHECK(system_authorities_file(root) == file);
    }
    SECTION("is nowhere on a system that has none") { CHECK(!system_authorities_file(root)); }
    SECTION("is none that only has the name of a folder, or leads nowhere") {
        fs::create_directories(root / "etc/ssl/cert.pem");
        fs::create_symlink("/no/such/file", root / "etc/ssl/ca-bundle.pem");
        CHECK(!system_authorities_file(root));
    }
}

TEST_CASE("a store that trusts the system's authorities") {
    const temp_dir dir;
    const credential ca = make_ca("muxsocks test CA");
    const credential server = make_credential({}, &ca);
    const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(),
                                                                   &X509_STORE_free);
    const auto trusts_server = [&] {
        const std::unique_ptr<X509_STORE_CTX, void (*)(X509_STORE_CTX*)> context(
            X509_STORE_CTX_new(), &X509_STORE_CTX_free);
        return X509_STORE_CTX_init(context.get(), store.get(), server.certificate.get(), nullptr) ==
                   1 &&
               X509_verify_cert(context.get()) == 1;
    };

    SECTION("does not know ours") {
        REQUIRE(trust_system_authorities(store.get()));
        CHECK_FALSE(trusts_server());
    }
    SECTION("knows those that SSL_CERT_FILE names") {
        const environment_variable named("SSL_CERT_FILE",
                                         dir.write("ca.pem", ca.certificate_pem()));
        REQUIRE(trust_system_authorities(store.get()));
        CHECK(trusts_server());
    }
}
