#include "protocol/link/tls/self_signed.hpp"

#include "protocol/link/tls/tls_files.hpp"
#include "protocol/link/tls/tls_verify.hpp"

#include <boost/asio/ip/address.hpp>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

namespace muxsocks {
namespace {

constexpr long days = 3653;

void check(bool good, const char* what) {
    if (!good)
        throw std::runtime_error(std::string("cannot make a certificate: ") + what + ": " +
                                 take_openssl_reason());
}

template <typename Write>
std::string to_pem(Write write) {
    const std::unique_ptr<BIO, int (*)(BIO*)> memory(BIO_new(BIO_s_mem()), &BIO_free);
    check(memory && write(memory.get()) == 1, "PEM");
    char* data = nullptr;
    const auto size = BIO_get_mem_data(memory.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

void add_extension(X509* certificate, int nid, const std::string& value) {
    const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()), &X509_EXTENSION_free);
    check(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension");
}

} // namespace

key_and_certificate make_self_signed(const std::string& host) {
    const evp_pkey_ptr key(EVP_EC_gen("P-256"));
    check(key != nullptr, "key");
    const x509_ptr certificate(X509_new());
    check(certificate != nullptr, "certificate");
    const auto x = certificate.get();
    std::uint64_t serial = 0;
    check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "serial");
    check(X509_set_version(x, 2) == 1 &&
              ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), -3600) != nullptr &&
              X509_time_adj_ex(X509_getm_notAfter(x), days, 0, nullptr) != nullptr &&
              X509_set_pubkey(x, key.get()) == 1,
          "fields");
    const auto name = X509_get_subject_name(x);
    // A common name has at most 64 bytes; the alternative name is what counts.
    const auto common = host.substr(0, 64);
    check(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(common.data()),
                                     static_cast<int>(common.size()), -1, 0) == 1 &&
              X509_set_issuer_name(x, name) == 1,
          "name");
    boost::system::error_code not_an_address;
    boost::asio::ip::make_address(host, not_an_address);
    add_extension(x, NID_subject_alt_name, (not_an_address ? "DNS:" : "IP:") + host);
    add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, NID_ext_key_usage, "serverAuth");
    check(X509_sign(x, key.get(), EVP_sha256()) > 0, "signature");
    key_and_certificate made;
    made.key_pem = to_pem([&](BIO* out) {
        return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    made.certificate_pem = to_pem([&](BIO* out) { return PEM_write_bio_X509(out, x); });
    made.pin = certificate_pin(x);
    return made;
}

} // namespace muxsocks
