#include "http/capsules.hpp"

#include "http/percent.hpp"

#include <algorithm>
#include <charconv>

namespace muxsocks::http {
namespace {

constexpr std::uint64_t datagram_capsule = 0;
constexpr std::uint64_t udp_context = 0;
/// A context's number takes eight bytes at most.
constexpr std::uint64_t datagram_capsule_max = udp_payload_max + 8;

/// A variable-length integer (RFC 9000, section 16) at the front of `bytes`, which it is taken off;
/// nothing if it is not all there.
std::optional<std::uint64_t> take_integer(std::string_view& bytes) {
    if (bytes.empty()) return {};
    const auto first = static_cast<std::uint8_t>(bytes[0]);
    const std::size_t size = std::size_t{1} << (first >> 6);
    if (bytes.size() < size) return {};
    std::uint64_t value = first & 0x3fU;
    for (std::size_t i = 1; i < size; ++i)
        value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    bytes.remove_prefix(size);
    return value;
}

void put_integer(std::string& to, std::uint64_t value) {
    const auto put = [&to](std::uint64_t byte) { to += static_cast<char>(byte & 0xff); };
    if (value < 0x40) return put(value);
    if (value < 0x4000) {
        put(0x40 | value >> 8);
        return put(value);
    }
    put(0x80 | value >> 24);
    put(value >> 16);
    put(value >> 8);
    put(value);
}

} // namespace

std::optional<udp_target> parse_udp_path(std::string_view path) {
    constexpr std::string_view begin = "/.well-known/masque/udp/";
    if (!path.starts_with(begin)) return {};
    path.remove_prefix(begin.size());
    udp_target made;
    const auto slash = path.find('/');
    if (slash == path.npos) return made;
    auto port = path.substr(slash + 1);
    if (port.ends_with('/')) port.remove_suffix(1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number == 0) return made;
    auto host = percent_decoded(path.substr(0, slash));
    if (!host) return made;
    made.host = *std::move(host);
    made.port = number;
    return made;
}

capsule_reader::result capsule_reader::next(std::string_view input) {
    result made;
    while (made.used < input.size() && !failed_) {
        if (!in_capsule_) {
            head_ += input[made.used++];
            if (!on_head()) continue;
        } else {
            const auto most = too_long_ ? 1 : input.size() - made.used;
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, most));
            if (!passed_over_) payload_ += input.substr(made.used, size);
            made.used += size;
            left_ -= size;
            if (too_long_) on_begin_of_too_long();
        }
        if (left_ > 0) continue;
        in_capsule_ = false;
        if (passed_over_ || !on_payload()) continue;
        made.datagram = payload_;
        made.datagram->remove_prefix(payload_.size() - size_);
        break;
    }
    return made;
}

/// Whether type and length are there.
bool capsule_reader::on_head() {
    std::string_view rest = head_;
    const auto type = take_integer(rest);
    const auto length = type ? take_integer(rest) : std::nullopt;
    if (!length) return false;
    head_.clear();
    payload_.clear();
    in_capsule_ = true;
    left_ = *length;
    passed_over_ = *type != datagram_capsule;
    too_long_ = !passed_over_ && *length > datagram_capsule_max;
    return true;
}

/// Whose context it has is all that counts.
void capsule_reader::on_begin_of_too_long() {
    std::string_view rest = payload_;
    const auto context = take_integer(rest);
    if (!context) return;
    failed_ = context == udp_context;
    passed_over_ = true;
    too_long_ = false;
}

/// Whether the payload is a datagram for the target.
bool capsule_reader::on_payload() {
    std::string_view rest = payload_;
    const auto context = take_integer(rest);
    const bool for_target = context == udp_context;
    failed_ = !context || (for_target && rest.size() > udp_payload_max);
    size_ = rest.size();
    return for_target && !failed_;
}

std::string capsule_front(std::size_t bytes) {
    std::string made;
    put_integer(made, datagram_capsule);
    put_integer(made, bytes + 1);
    put_integer(made, udp_context);
    return made;
}

} // namespace muxsocks::http
