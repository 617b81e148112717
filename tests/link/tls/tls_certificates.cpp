#include "tests/link/tls/tls_certificates.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace muxsocks::test {

namespace {

void require(bool success, const char* what) {
    if (!success) throw std::runtime_error(std::string("test certificate: ") + what);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
}

template <class Write>
std::string pem(Write write) {
    const bio_ptr bio(BIO_new(BIO_s_mem()));
    require(write(bio.get()) == 1, "PEM");
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

} // namespace

std::string credential::certificate_pem() const {
    return pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
}

std::string credential::key_pem() const {
    return pem([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
}

std::string credential::encrypted_key_pem() const {
    char password[] = "secret";
    return pem([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, key.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr,
                                        password);
    });
}

credential make_credential(const certificate_fields& fields, const credential* issuer) {
    static long serial = 1000;
    constexpr long day = 24 * 3600;
    credential made{x509_ptr(X509_new()), evp_pkey_ptr(EVP_EC_gen("P-256"))};
    X509* const certificate = made.certificate.get();
    require(certificate != nullptr && made.key != nullptr, "key");
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), fields.not_before_days * day);
    X509_gmtime_adj(X509_getm_notAfter(certificate), fields.not_after_days * day);
    X509_set_pubkey(certificate, made.key.get());
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(fields.common_name.data()),
                               static_cast<int>(fields.common_name.size()), -1, 0);
    X509* const signer = issuer ? issuer->certificate.get() : certificate;
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    add_extension(certificate, signer, NID_subject_key_identifier, "hash");
    if (fields.is_ca) {
        add_extension(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (!fields.alternative_names.empty() && !fields.is_ca)
        add_extension(certificate, signer, NID_subject_alt_name, fields.alternative_names);
    EVP_PKEY* const signing_key = issuer ? issuer->key.get() : made.key.get();
    require(X509_sign(certificate, signing_key, EVP_sha256()) > 0, "signature");
    return made;
}

credential make_ca(const std::string& common_name, const credential* issuer) {
    certificate_fields fields;
    fields.common_name = common_name;
    fields.is_ca = true;
    return make_credential(fields, issuer);
}

temp_dir::temp_dir() {
    std::string name = (std::filesystem::temp_directory_path() / "muxsocks-test-XXXXXX").string();
    require(mkdtemp(name.data()) != nullptr, "temporary folder");
    path_ = name;
}

temp_dir::~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string temp_dir::write(const std::string& name, std::string_view content) const {
    const std::string file = (path_ / name).string();
    std::ofstream stream(file, std::ios::binary);
    stream << content;
    require(stream.good(), "file");
    return file;
}

} // namespace muxsocks::test
