/// \file
/// Any bytes at the parsers of socks5/ and at the handshake. Beyond memory errors it states: a
/// verdict does not change with the bytes that follow, what parses is written back as it was, text
/// is printable, and a handshake comes to the same whatever the pieces.
///
/// Input: one byte that selects, one that seeds the cuts, then the bytes.

#include "socks5/error.hpp"
#include "socks5/handshake.hpp"
#include "socks5/message.hpp"
#include "socks5/udp_header.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace muxsocks::socks5;
using byte_span = std::span<const std::uint8_t>;

void require(bool fact, const char* text) {
    if (fact) return;
    std::cerr << "violated: " << text << '\n';
    std::abort();
}

/// The first `size` bytes in memory of exactly that size.
std::vector<std::uint8_t> copy_of(byte_span bytes, std::size_t size) {
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

/// Whether two failures are the same, but for one that is named more exactly when more bytes are
/// there.
bool same(std::error_code a, std::error_code b) {
    const auto exact = [](std::error_code error) {
        return error == errc::http_request ? make_error_code(errc::not_socks5) : error;
    };
    return exact(a) == exact(b);
}

/// `rsv` is the offset of a byte that is read as anything and written as 0; 0 if there is none.
template <typename Parser>
void check_parser(Parser parse, byte_span bytes, std::size_t rsv = 0) {
    const auto whole = parse(bytes);
    require(bool(whole.error) == (whole.status == parse_status::failed), "failed has an error");
    require(whole.used <= bytes.size(), "used is at most what was given");
    require((whole.used > 0) == (whole.status == parse_status::done), "done uses bytes");
    for (std::size_t size = 0; size <= std::min<std::size_t>(bytes.size(), 520); ++size) {
        const auto piece = copy_of(bytes, size);
        const auto part = parse(byte_span{piece});
        if (part.status == parse_status::need_more) {
            require(whole.status != parse_status::done || size < whole.used,
                    "a whole message is done");
            continue;
        }
        require(part.status == whole.status && part.used == whole.used &&
                    same(part.error, whole.error),
                "a verdict stays");
    }
    if (whole.status != parse_status::done) return;
    std::vector<std::uint8_t> written;
    append(written, whole.value);
    auto expected = copy_of(bytes, whole.used);
    if (rsv != 0) expected[rsv] = 0;
    require(written == expected, "what parses is written back as it was");
}

void check_text(const address& value) {
    for (const char c : to_string(value))
        require(c > 0x20 && c < 0x7f, "text is printable");
}

struct outcome {
    handshake_state state = handshake_state::need_more;
    std::vector<std::uint8_t> sent;
    std::size_t used = 0;
    std::error_code error;
    request req;

    bool operator==(const outcome& other) const {
        return state == other.state && sent == other.sent && same(error, other.error) &&
               req == other.req && (state == handshake_state::failed || used == other.used);
    }
};

/// `cuts` makes the sizes of the pieces; 0 gives one piece.
outcome run_handshake(byte_span bytes, bool with_users, unsigned cuts) {
    credential_check check;
    if (with_users)
        check = [](std::string_view user, std::string_view password) { return user >= password; };
    server_handshake handshake{check};
    outcome result;
    while (!bytes.empty() && result.state == handshake_state::need_more) {
        std::size_t size = bytes.size();
        if (cuts != 0) {
            cuts = cuts * 1'103'515'245u + 12'345u | 1u;
            size = std::min<std::size_t>(size, 1 + (cuts >> 16) % 9);
        }
        const auto piece = copy_of(bytes, size);
        const auto step = handshake.on_input(piece);
        require(step.used <= size, "used is at most what was given");
        require(step.used == size || step.state == handshake_state::request_ready,
                "only what is behind a request is left");
        require(bool(step.error) == (step.state == handshake_state::failed), "failed has an error");
        result.sent.insert(result.sent.end(), step.to_send.begin(), step.to_send.end());
        result.used += step.used;
        result.state = step.state;
        result.error = step.error;
        bytes = bytes.subspan(step.used);
    }
    if (result.state == handshake_state::request_ready) {
        result.req = handshake.request();
        require(result.req.cmd == command::connect, "only CONNECT gets through");
        check_text(result.req.dst);
    }
    return result;
}

void check_udp_header(byte_span bytes) {
    const auto found = parse_udp_header(bytes);
    if (!found) return;
    require(found->size <= bytes.size(), "a header is no longer than its datagram");
    require(found->dst.port != 0, "a datagram goes to a port");
    std::vector<std::uint8_t> written{0, 0, 0};
    append(written, found->dst);
    require(std::equal(written.begin(), written.end(), bytes.begin(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(found->size)),
            "a header is written back as it was");
    check_text(found->dst);
}

void check_handshake(byte_span bytes, bool with_users, unsigned cuts) {
    const auto whole = run_handshake(bytes, with_users, 0);
    require(run_handshake(bytes, with_users, cuts) == whole, "pieces make no difference");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const byte_span bytes{data + 2, size - 2};
    const unsigned cuts = data[1] + 1u;
    switch (data[0] % 9) {
    case 0:
        check_parser(parse_greeting, bytes);
        break;
    case 1:
        check_parser(parse_method_selection, bytes);
        break;
    case 2:
        check_parser(parse_password_request, bytes);
        break;
    case 3:
        check_parser(parse_password_status, bytes);
        break;
    case 4:
        check_parser(parse_request, bytes, 2);
        check_text(parse_request(bytes).value.dst);
        break;
    case 5:
        check_parser(parse_reply, bytes, 2);
        check_text(parse_reply(bytes).value.bnd);
        break;
    case 6:
        check_handshake(bytes, false, cuts);
        break;
    case 7:
        check_handshake(bytes, true, cuts);
        break;
    default:
        check_udp_header(bytes);
        break;
    }
    return 0;
}
