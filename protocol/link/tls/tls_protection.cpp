#include "protocol/link/tls/tls_protection.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <string_view>

namespace muxsocks {

namespace {

constexpr std::size_t hash_size_max = 64;

// RFC 8446 appendix B.4.
const EVP_CIPHER* cipher_of(std::uint16_t suite) {
    switch (suite) {
    case 0x1301:
        return EVP_aes_128_gcm();
    case 0x1302:
        return EVP_aes_256_gcm();
    default:
        return EVP_chacha20_poly1305();
    }
}

const EVP_MD* hash_of(std::uint16_t suite) { return suite == 0x1302 ? EVP_sha384() : EVP_sha256(); }

// HKDF-Expand-Label without a context (RFC 8446 section 7.1), for results no longer than the hash:
// then it is the first block of HKDF-Expand (RFC 5869 section 2.3), one HMAC.
void expand_label(std::uint16_t suite, const traffic_secret& secret, std::string_view label,
                  std::span<std::uint8_t> out) {
    constexpr std::string_view prefix = "tls13 ";
    std::array<std::uint8_t, 32> info{};
    std::size_t at = 0;
    info[at++] = static_cast<std::uint8_t>(out.size() >> 8);
    info[at++] = static_cast<std::uint8_t>(out.size());
    info[at++] = static_cast<std::uint8_t>(prefix.size() + label.size());
    for (const auto part : {prefix, label})
        for (const char letter : part)
            info[at++] = static_cast<std::uint8_t>(letter);
    info[at++] = 0; // The context's length.
    info[at++] = 1; // The block's number.
    std::array<std::uint8_t, hash_size_max> block{};
    unsigned size = 0;
    const auto key = secret.bytes();
    const auto* const done = HMAC(hash_of(suite), key.data(), static_cast<int>(key.size()),
                                  info.data(), at, block.data(), &size);
    if (done == nullptr || size < out.size()) throw std::bad_alloc();
    std::copy_n(block.begin(), out.size(), out.begin());
    OPENSSL_cleanse(block.data(), block.size());
}

} // namespace

traffic_secret::traffic_secret(std::span<const std::uint8_t> bytes)
    : size_(std::min(bytes.size(), size_max)) {
    std::copy_n(bytes.begin(), size_, bytes_.begin());
}

traffic_secret::~traffic_secret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

void record_protection::context_deleter::operator()(evp_cipher_ctx_st* context) const {
    EVP_CIPHER_CTX_free(context);
}

record_protection::record_protection(direction way, std::uint16_t suite, traffic_secret first)
    : way_(way), suite_(suite), secret_(first), context_(EVP_CIPHER_CTX_new()) {
    if (!context_) throw std::bad_alloc();
    set_keys();
}

record_protection::record_protection(record_protection&&) noexcept = default;
record_protection& record_protection::operator=(record_protection&&) noexcept = default;
record_protection::~record_protection() { OPENSSL_cleanse(iv_.data(), iv_.size()); }

void record_protection::set_keys() {
    const EVP_CIPHER* const cipher = cipher_of(suite_);
    std::array<std::uint8_t, EVP_MAX_KEY_LENGTH> key{};
    expand_label(suite_, secret_, "key",
                 std::span(key).first(static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher))));
    expand_label(suite_, secret_, "iv", iv_);
    records_ = 0;
    const int encrypts = way_ == direction::sending ? 1 : 0;
    const int done =
        EVP_CipherInit_ex(context_.get(), cipher, nullptr, key.data(), nullptr, encrypts);
    OPENSSL_cleanse(key.data(), key.size());
    if (done != 1) throw std::bad_alloc();
}

void record_protection::update() {
    std::array<std::uint8_t, traffic_secret::size_max> next{};
    const auto bytes = std::span(next).first(secret_.bytes().size());
    expand_label(suite_, secret_, "traffic upd", bytes);
    secret_ = traffic_secret(bytes);
    OPENSSL_cleanse(next.data(), next.size());
    set_keys();
}

// RFC 8446 section 5.3.
std::array<std::uint8_t, 12> record_protection::next_nonce() {
    auto nonce = iv_;
    for (std::size_t i = 0; i < 8; ++i)
        nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(records_ >> (8 * i));
    ++records_;
    return nonce;
}

bool record_protection::seal(tls_content type, std::span<const std::uint8_t> content,
                             output_buffer& out) {
    assert(way_ == direction::sending);
    const auto type_byte = static_cast<std::uint8_t>(type);
    EVP_CIPHER_CTX* const context = context_.get();
    do {
        const auto piece = content.first(std::min(content.size(), tls_content_max));
        content = content.subspan(piece.size());
        const std::size_t body = piece.size() + 1 + tls_tag_size;
        std::uint8_t* const record = out.prepare(tls_header_size + body).data();
        record[0] = static_cast<std::uint8_t>(tls_content::application_data);
        record[1] = 3;
        record[2] = 3;
        record[3] = static_cast<std::uint8_t>(body >> 8);
        record[4] = static_cast<std::uint8_t>(body);
        std::uint8_t* const sealed = record + tls_header_size;
        const auto nonce = next_nonce();
        int size = 0;
        if (EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
            EVP_EncryptUpdate(context, nullptr, &size, record, tls_header_size) != 1 ||
            (!piece.empty() && EVP_EncryptUpdate(context, sealed, &size, piece.data(),
                                                 static_cast<int>(piece.size())) != 1) ||
            EVP_EncryptUpdate(context, sealed + piece.size(), &size, &type_byte, 1) != 1 ||
            EVP_EncryptFinal_ex(context, sealed + piece.size() + 1, &size) != 1 ||
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tls_tag_size,
                                sealed + piece.size() + 1) != 1)
            return false;
        out.commit(tls_header_size + body);
    } while (!content.empty());
    return true;
}

std::optional<record_protection::opened>
record_protection::open(std::span<const std::uint8_t> record, std::span<std::uint8_t> out) {
    assert(way_ == direction::receiving && record.size() > tls_header_size + tls_tag_size);
    const auto sealed = record.subspan(tls_header_size);
    const std::size_t inner = sealed.size() - tls_tag_size;
    assert(out.size() >= inner);
    // OpenSSL only reads it.
    auto* const tag = const_cast<std::uint8_t*>(sealed.data() + inner);
    EVP_CIPHER_CTX* const context = context_.get();
    const auto nonce = next_nonce();
    int size = 0;
    if (EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
        EVP_DecryptUpdate(context, nullptr, &size, record.data(), tls_header_size) != 1 ||
        EVP_DecryptUpdate(context, out.data(), &size, sealed.data(), static_cast<int>(inner)) !=
            1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tls_tag_size, tag) != 1 ||
        EVP_DecryptFinal_ex(context, out.data() + inner, &size) != 1)
        return std::nullopt;
    // Behind the content stand its type, which is not 0, and zeros as padding.
    std::size_t end = inner;
    while (end > 0 && out[end - 1] == 0)
        --end;
    if (end == 0) return std::nullopt;
    return opened{out[end - 1], end - 1};
}

} // namespace muxsocks
