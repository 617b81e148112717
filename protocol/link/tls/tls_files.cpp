#include "protocol/link/tls/tls_files.hpp"

#include "protocol/link/tls/system_authorities.hpp"
#include "protocol/link/tls/tls_verify.hpp"
#include "protocol/link/tls/wiped_frees.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>

namespace muxsocks {

namespace {

// A CA bundle of all the web has some 220 KB.
constexpr std::size_t file_size_max = std::size_t{16} << 20;

struct file_close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string quoted(const std::string& file, const std::string& key) {
    return "'" + file + "' (" + key + ")";
}

std::string system_reason() { return std::system_category().message(errno); }

// Not left to OpenSSL, whose errors hide the reason behind its own layers.
std::string read_file(const std::string& name, const std::string& key) {
    const std::unique_ptr<std::FILE, file_close> file(std::fopen(name.c_str(), "rbe"));
    if (!file)
        throw std::runtime_error("the file " + quoted(name, key) +
                                 " cannot be opened: " + system_reason());
    std::string text;
    // No copy in a buffer of stdio's or on the stack.
    std::setvbuf(file.get(), nullptr, _IONBF, 0);
    std::string piece(16384, '\0');
    while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file.get())) {
        text.append(piece, 0, size);
        if (text.size() > file_size_max)
            throw std::runtime_error("the file " + quoted(name, key) +
                                     " is too large to be a PEM file of certificates or keys");
    }
    if (std::ferror(file.get()))
        throw std::runtime_error("the file " + quoted(name, key) +
                                 " cannot be read: " + system_reason());
    return text;
}

bio_ptr memory_bio(const std::string& text) {
    bio_ptr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    if (!bio) throw std::bad_alloc();
    return bio;
}

bool holds_private_key(const std::string& text) {
    return text.find("PRIVATE KEY-----") != std::string::npos;
}

// Called for an encrypted key only; nobody is there to ask.
int refuse_password(char*, int, int, void* was_asked) {
    *static_cast<bool*>(was_asked) = true;
    return -1;
}

} // namespace

std::vector<x509_ptr> read_certificates(const std::string& file, const std::string& key) {
    const std::string text = read_file(file, key);
    const bio_ptr bio = memory_bio(text);
    std::vector<x509_ptr> certificates;
    ERR_clear_error();
    while (x509_ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
        certificates.push_back(std::move(certificate));
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    const std::string reason = take_openssl_reason();
    if (!at_end)
        throw std::runtime_error(
            "the file " + quoted(file, key) + " is damaged: its certificate number " +
            std::to_string(certificates.size() + 1) + " cannot be read (" + reason + ")");
    if (certificates.empty())
        throw std::runtime_error("the file " + quoted(file, key) + " holds no PEM certificate" +
                                 (holds_private_key(text)
                                      ? ", but a private key: are the two files mixed up?"
                                      : "; expected -----BEGIN CERTIFICATE-----"));
    return certificates;
}

evp_pkey_ptr read_private_key(const std::string& file, const std::string& key) {
    const wiped_frees wiped;
    const std::string text = read_file(file, key);
    const bio_ptr bio = memory_bio(text);
    bool is_encrypted = false;
    ERR_clear_error();
    evp_pkey_ptr private_key(
        PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_password, &is_encrypted));
    const std::string reason = take_openssl_reason();
    if (private_key) return private_key;
    if (is_encrypted)
        throw std::runtime_error("the private key in " + quoted(file, key) +
                                 " is encrypted, and nobody can be asked for its password; decrypt "
                                 "it with: openssl pkey -in FILE -out NEW-FILE");
    if (holds_private_key(text))
        throw std::runtime_error("the private key in " + quoted(file, key) +
                                 " is damaged or of an unknown kind (" + reason + ")");
    throw std::runtime_error("the file " + quoted(file, key) + " holds no PEM private key" +
                             (text.find("-----BEGIN CERTIFICATE") != std::string::npos
                                  ? ", but a certificate: are the two files mixed up?"
                                  : "; expected -----BEGIN PRIVATE KEY-----"));
}

std::optional<std::string> trusted_by_system(const std::vector<x509_ptr>& certificates) {
    const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(),
                                                                   &X509_STORE_free);
    const std::unique_ptr<X509_STORE_CTX, void (*)(X509_STORE_CTX*)> search(X509_STORE_CTX_new(),
                                                                            &X509_STORE_CTX_free);
    if (!store || !search) throw std::bad_alloc();
    std::optional<std::string> found;
    if (trust_system_authorities(store.get()) &&
        X509_STORE_CTX_init(search.get(), store.get(), nullptr, nullptr) == 1) {
        for (const auto& each : certificates) {
            const std::unique_ptr<X509_OBJECT, void (*)(X509_OBJECT*)> known(
                X509_STORE_CTX_get_obj_by_subject(search.get(), X509_LU_X509,
                                                  X509_get_subject_name(each.get())),
                &X509_OBJECT_free);
            if (!known || X509_cmp(X509_OBJECT_get0_X509(known.get()), each.get()) != 0) continue;
            found = certificate_subject(each.get());
            break;
        }
    }
    ERR_clear_error();
    return found;
}

std::string take_openssl_reason() {
    const unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    const char* const reason = ERR_reason_error_string(error);
    return reason ? reason : "OpenSSL error " + std::to_string(error);
}

} // namespace muxsocks
