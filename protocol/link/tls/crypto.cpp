#include "protocol/link/tls/crypto.hpp"

#include "protocol/link/tls/openssl_handle.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <stdexcept>

namespace muxsocks {

namespace {

void require(bool success, const char* what) {
    if (!success) throw std::runtime_error(std::string("OpenSSL has no working ") + what);
}

// Looking an algorithm up costs ten times as much as hashing a short text, so it is done once.
const EVP_MD* sha256_algorithm() {
    static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    require(algorithm != nullptr, "SHA-256");
    return algorithm;
}

// Every thread has one context and sets the key anew; the digest below it is found once.
EVP_MAC_CTX* hmac_context() {
    static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    require(algorithm != nullptr, "HMAC");
    thread_local const evp_mac_ctx_ptr context = [] {
        evp_mac_ctx_ptr fresh(EVP_MAC_CTX_new(algorithm));
        char digest[] = "SHA256";
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
            OSSL_PARAM_construct_end()};
        require(fresh && EVP_MAC_CTX_set_params(fresh.get(), parameters) == 1, "HMAC-SHA256");
        return fresh;
    }();
    return context.get();
}

// EVP_MAC_init takes a null key as "keep the old one".
const std::uint8_t* key_data(std::span<const std::uint8_t> key) {
    static const std::uint8_t none = 0;
    return key.empty() ? &none : key.data();
}

} // namespace

sha256_digest sha256(std::span<const std::uint8_t> bytes) { return sha256(std::span(&bytes, 1)); }

sha256_digest sha256(std::span<const std::span<const std::uint8_t>> parts) {
    const EVP_MD* const algorithm = sha256_algorithm();
    thread_local const evp_md_ctx_ptr context(EVP_MD_CTX_new());
    sha256_digest digest;
    bool good = context && EVP_DigestInit_ex2(context.get(), algorithm, nullptr) == 1;
    for (const auto part : parts)
        good = good && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    good = good && EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
    require(good, "SHA-256");
    return digest;
}

sha256_digest hmac_sha256(std::span<const std::uint8_t> key,
                          std::span<const std::span<const std::uint8_t>> parts) {
    EVP_MAC_CTX* const context = hmac_context();
    sha256_digest mac;
    std::size_t length = 0;
    bool good = EVP_MAC_init(context, key_data(key), key.size(), nullptr) == 1;
    for (const auto part : parts)
        good = good && EVP_MAC_update(context, part.data(), part.size()) == 1;
    good = good && EVP_MAC_final(context, mac.data(), &length, mac.size()) == 1;
    require(good && length == mac.size(), "HMAC-SHA256");
    return mac;
}

void random_bytes(std::span<std::uint8_t> out) {
    // RAND_bytes_ex takes a size_t, RAND_bytes an int.
    require(RAND_bytes_ex(nullptr, out.data(), out.size(), 0) == 1, "source of randomness");
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes.size());
    for (const std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 0xf];
    }
    return text;
}

std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    std::vector<std::uint8_t> bytes(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int digit = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i]));
        if (digit < 0) return std::nullopt;
        bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] << 4 | digit);
    }
    return bytes;
}

std::string to_base64(std::span<const std::uint8_t> bytes) {
    // EVP_EncodeBlock ends its text with a zero, which a std::string has room for.
    std::string text((bytes.size() + 2) / 3 * 4, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                    static_cast<int>(bytes.size()));
    return text;
}

std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text) {
    std::string digits(text);
    for (int padding = 0; padding < 2 && digits.ends_with('='); ++padding)
        digits.pop_back();
    const std::size_t length = digits.size() / 4 * 3 + (digits.size() % 4) * 3 / 4;
    const bool padding_fits = digits.size() == text.size() || text.size() % 4 == 0;
    if (digits.size() % 4 == 1 || !padding_fits) return std::nullopt;
    for (char& digit : digits) {
        if (digit == '-') digit = '+';
        if (digit == '_') digit = '/';
        const bool valid = (digit >= 'A' && digit <= 'Z') || (digit >= 'a' && digit <= 'z') ||
                           (digit >= '0' && digit <= '9') || digit == '+' || digit == '/';
        if (!valid) return std::nullopt; // EVP_DecodeBlock would skip blanks at both ends
    }
    digits.resize((digits.size() + 3) / 4 * 4, '=');
    std::vector<std::uint8_t> bytes(digits.size() / 4 * 3);
    if (EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(digits.data()),
                        static_cast<int>(digits.size())) < 0)
        return std::nullopt;
    bytes.resize(length);
    // Bits behind the last byte must be zero, or two texts would mean the same.
    if (to_base64(bytes) != digits) return std::nullopt;
    return bytes;
}

} // namespace muxsocks
