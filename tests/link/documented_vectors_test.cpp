/// \file
/// The test vectors of docs/PROTOCOL.md are what the code sends: a reader who implements the
/// protocol from that page checks himself against the same bytes.

#include "protocol/error.hpp"
#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/session/frame_rules.hpp"
#include "protocol/session/proofs.hpp"
#include "socks5/message.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

using namespace muxsocks;

namespace {

using bytes = std::vector<std::uint8_t>;

/// Name to bytes, from the marked part of the page.
std::map<std::string, bytes> read_vectors() {
    std::map<std::string, bytes> vectors;
    std::ifstream page(MUXSOCKS_SOURCE_DIR "/docs/PROTOCOL.md");
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line.find("<!-- vectors: end -->") == 0) break;
        std::istringstream words(line);
        std::string name;
        if (inside && words >> name) {
            std::string rest;
            std::getline(words, rest);
            vectors[name] = tests::hex(rest);
        }
        inside = inside || line.find("<!-- vectors: begin -->") == 0;
    }
    return vectors;
}

bytes documented(const std::string& name) {
    static const auto vectors = read_vectors();
    const auto found = vectors.find(name);
    INFO(name);
    REQUIRE(found != vectors.end());
    return found->second;
}

bytes frame(std::uint32_t stream_id, std::uint8_t flags, const bytes& payload = {}) {
    // In one piece: GCC 12 warns of an insert behind a vector of known size.
    bytes out(frame_header_size + payload.size());
    encode_header(out.data(), {stream_id, flags, static_cast<std::uint16_t>(payload.size())});
    std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
    return out;
}

template <typename Frame>
bytes control_frame(const Frame& what) {
    return frame(0, flag::ctrl, encode(what));
}

bytes of_text(std::string_view text) { return {text.begin(), text.end()}; }

template <typename Array>
Array counting_from(std::uint8_t first) {
    Array out{};
    std::iota(out.begin(), out.end(), first);
    return out;
}

template <typename Array>
bytes as_bytes(const Array& array) {
    return {array.begin(), array.end()};
}

/// The conversation that the page describes, with channel binding or without, by token or open.
struct conversation {
    crypto_functions crypto = session_crypto();
    session_proofs proofs{crypto};
    bool binds;
    hello_frame client_hello;
    hello_frame server_hello;
    transcript said;
    digest key{};
    digest t{};
    auth_frame auth;
    auth_ok_frame auth_ok;

    explicit conversation(bool with_binding = true, bool with_token = true) : binds(with_binding) {
        client_hello.features = server_hello.features =
            (binds ? feature::channel_binding : 0) | feature::resume | feature::notice;
        client_hello.initial_window = server_hello.initial_window = 256 * 1024;
        server_hello.max_streams = 16'384;
        client_hello.nonce = counting_from<nonce16>(0x00);
        server_hello.nonce = counting_from<nonce16>(0x10);
        client_hello.max_links = 3;
        server_hello.max_links = 4;
        said = {encode(client_hello), encode(server_hello), exporter(0x20)};
        if (with_token) {
            key = tests::token_key(crypto, "0123456789abcdefghijklmnopqrstuv");
            auth.method = 1;
            auth.user = "laptop";
        }
        t = said.hash(crypto, auth.method, auth.user);
        proofs.on_first_link(said.exporter);
        proofs.on_client_hello(said.client_hello);
        proofs.on_server_hello(said.server_hello);
        auth.mac = proofs.client_mac(auth.method, auth.user, key);
        auth_ok.id = counting_from<session_id>(0xa0);
        auth_ok.resume_timeout_ms = 120'000;
        auth_ok.mac = proofs.server_mac(auth_ok);
        proofs.establish(auth_ok.id);
    }

    bytes exporter(std::uint8_t first) const {
        return binds ? as_bytes(counting_from<digest>(first)) : bytes{};
    }

    void check_handshake(const std::string& suffix) const {
        CHECK(documented("transcript" + suffix) == as_bytes(t));
        CHECK(documented("auth" + suffix) == control_frame(auth));
        CHECK(documented("auth-ok" + suffix) == control_frame(auth_ok));
    }

    void check_join(const std::string& suffix) const {
        join_frame join;
        join.id = auth_ok.id;
        join.number = 1;
        join.proof = proofs.join_proof(1, exporter(0x40));
        CHECK(documented("join" + suffix) == control_frame(join));
        const join_ok_frame answer{1, proofs.join_ok_proof(1, exporter(0x40))};
        CHECK(documented("join-ok" + suffix) == control_frame(answer));
        // The secret itself never leaves the proofs.
        const bytes label = of_text("muxsocks 2 client join");
        bytes fields = {2};
        fields.insert(fields.end(), join.id.begin(), join.id.end());
        fields.insert(fields.end(), {0, 0, 0, 1});
        const auto channel = exporter(0x40);
        const bytes_view parts[] = {label, fields, channel};
        CHECK(crypto.hmac_sha256(documented("secret" + suffix), std::span(parts)) == join.proof);
    }
};

/// The page's table of errors: `detail` and the text that CLOSE says.
std::map<int, std::string> documented_closes() {
    std::map<int, std::string> closes;
    std::ifstream page(MUXSOCKS_SOURCE_DIR "/docs/PROTOCOL.md");
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) inside = line == "## Errors";
        const auto bar = line.find(" | ", line.find(" | ") + 1);
        if (!inside || !line.starts_with("| ") || line.starts_with("| detail")) continue;
        auto text = line.substr(bar + 3);
        text.resize(text.size() - std::string_view(" |").size());
        CHECK(closes.emplace(std::stoi(line.substr(2)), text).second);
    }
    return closes;
}

} // namespace

TEST_CASE("the vectors of docs/PROTOCOL.md for frames") {
    const auto data = [](std::uint8_t flags, std::uint8_t offset, std::string_view text) {
        bytes payload(8);
        payload[7] = offset;
        payload.insert(payload.end(), text.begin(), text.end());
        return frame(1, flags, payload);
    };
    CHECK(documented("syn-data") == data(flag::syn | flag::data, 0, "hello"));
    CHECK(documented("data") == data(flag::data, 18, "hello"));
    CHECK(documented("fin") == data(flag::fin, 23, ""));
    CHECK(documented("data-fin") == data(flag::data | flag::fin, 18, "bye"));
    CHECK(documented("rst") ==
          frame(1, flag::rst, {0, 0, 0, static_cast<std::uint8_t>(reset_code::cancelled)}));
    CHECK(documented("ping") == frame(0, flag::ping, {0, 0, 0, 0, 0, 0, 0, 1}));
    CHECK(documented("pong") == frame(0, flag::pong, {0, 0, 0, 0, 0, 0, 0, 1}));
    CHECK(documented("v1-syn") == frame(1, flag::syn));
    CHECK(documented("v1-data") == frame(1, flag::data, of_text("hello")));

    SECTION("all of which are legal in their version") {
        for (const char* name :
             {"syn-data", "data", "fin", "data-fin", "rst", "ping", "pong", "credit", "ack",
              "client-hello", "join", "drop", "goaway", "close"})
            CHECK_FALSE(check_header(decode_header(documented(name).data())));
        for (const char* name : {"v1-syn", "v1-data", "v1-rst", "v1-ping"})
            CHECK_FALSE(check_header(decode_header(documented(name).data()), 1));
    }
}

TEST_CASE("the vectors of docs/PROTOCOL.md for the handshake") {
    const conversation c;
    CHECK(documented("client-hello") == control_frame(c.client_hello));
    CHECK(documented("server-hello") == control_frame(c.server_hello));
    CHECK(documented("key") == as_bytes(c.key));
    CHECK(documented("exporter") == c.said.exporter);
    c.check_handshake("");
    CHECK(documented("auth-fail") == frame(0, flag::ctrl, encode_auth_fail()));

    const conversation plain(false);
    CHECK(documented("client-hello-plain") == control_frame(plain.client_hello));
    CHECK(documented("server-hello-plain") == control_frame(plain.server_hello));
    plain.check_handshake("-plain");
    conversation(false, false).check_handshake("-open");
}

TEST_CASE("the vectors of docs/PROTOCOL.md for further links") {
    const conversation c;
    CHECK(documented("join-exporter") == c.exporter(0x40));
    c.check_join("");
    conversation(false).check_join("-plain");
    conversation(false, false).check_join("-open");
    CHECK(documented("join-fail") ==
          control_frame(join_fail_frame{join_failure::unknown_session, 0}));
    CHECK(documented("drop") == control_frame(drop_frame{0, 7}));
}

TEST_CASE("docs/PROTOCOL.md has number and sentence of every CLOSE for a fault or a flood") {
    std::map<int, std::string> closes;
    for (int value = 1; value < static_cast<int>(errc::frame_timeout); ++value)
        // The one that is told by AUTH_FAIL.
        if (static_cast<errc>(value) != errc::authentication_failed)
            closes.emplace(value, make_error_code(static_cast<errc>(value)).message());
    CHECK(documented_closes() == closes);
}

TEST_CASE("the vectors of docs/PROTOCOL.md for the other control frames") {
    CHECK(decode_u64(bytes_view(documented("credit")).subspan(frame_header_size)) == 524'288);
    CHECK(decode_header(documented("credit").data()).stream_id == 1);
    CHECK(decode_u64(bytes_view(documented("ack")).subspan(frame_header_size)) == 12);
    CHECK(documented("goaway") ==
          control_frame(goaway_frame{9, static_cast<std::uint8_t>(close_code::shutting_down),
                                     30'000, "stopping"}));
    CHECK(documented("close") ==
          control_frame(
              close_frame{static_cast<std::uint8_t>(close_code::shutting_down), 0, "stopped"}));
    const auto datagram = [](bytes address) {
        address.insert(address.begin(), static_cast<std::uint8_t>(control_type::datagram));
        for (const char each : std::string_view("hello"))
            address.push_back(static_cast<std::uint8_t>(each));
        return frame(1, flag::ctrl, address);
    };
    CHECK(documented("datagram") ==
          datagram(socks5::encode(socks5::address::from_ipv4({192, 0, 2, 1}, 53))));
    CHECK(documented("datagram-to-name") ==
          datagram(socks5::encode(socks5::address::from_domain("example.org", 53))));
    CHECK(documented("notice") == frame(1, flag::ctrl, encode(notice_frame{1, 60, "quota"})));
}
