#include "socks5/credentials.hpp"

#include "socks5/error.hpp"

#include <algorithm>
#include <cstring>

namespace muxsocks::socks5 {

namespace {

bool has_legal_length(std::string_view text) { return !text.empty() && text.size() <= 255; }

} // namespace

std::error_code credentials::add(std::string_view user, std::string_view password) {
    if (!has_legal_length(user) || !has_legal_length(password)) return errc::credential_length;
    entries_.push_back({pad(user), pad(password)});
    return {};
}

bool credentials::check(std::string_view user, std::string_view password) const {
    // These lengths are the presenter's own; only what is stored must not show.
    if (!has_legal_length(user) || !has_legal_length(password)) return false;
    const padded presented_user = pad(user);
    const padded presented_password = pad(password);
    unsigned matches = 0;
    for (const entry& stored : entries_) {
        // Through a volatile, lest the compiler skip the second comparison after a failed first.
        volatile std::uint64_t unequal = difference(stored.user, presented_user);
        unequal = unequal | difference(stored.password, presented_password);
        const std::uint64_t result = unequal;
        matches += static_cast<unsigned>(result == 0);
    }
    return matches != 0;
}

credentials::padded credentials::pad(std::string_view text) {
    padded result{};
    result[0] = static_cast<std::uint8_t>(text.size());
    std::copy(text.begin(), text.end(), result.begin() + 1);
    return result;
}

std::uint64_t credentials::difference(const padded& a, const padded& b) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < a.size(); i += sizeof bits) {
        std::uint64_t word_a, word_b;
        std::memcpy(&word_a, a.data() + i, sizeof word_a);
        std::memcpy(&word_b, b.data() + i, sizeof word_b);
        bits |= word_a ^ word_b;
    }
    return bits;
}

} // namespace muxsocks::socks5
