/// \file
/// The test vectors of docs/PROTOCOL.md are what the code sends: a reader who implements the
/// protocol from that page checks himself against the same bytes.

#include "protocol/error.hpp"
#include "protocol/frame.hpp"
#include "protocol/handshake.hpp"
#include "protocol/link/session_crypto.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"

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

/// The conversation that the page describes.
struct conversation {
    crypto_functions crypto = session_crypto();
    hello_frame client_hello;
    hello_frame server_hello;
    transcript said;
    digest key = token_key(crypto, "0123456789abcdefghijklmnopqrstuv");
    digest t{};
    auth_ok_frame auth_ok;

    conversation() {
        client_hello.features = server_hello.features = feature::channel_binding | feature::resume;
        client_hello.initial_window = server_hello.initial_window = 256 * 1024;
        server_hello.max_streams = 16'384;
        client_hello.nonce = counting_from<nonce16>(0x00);
        server_hello.nonce = counting_from<nonce16>(0x10);
        said = {encode(client_hello), encode(server_hello), as_bytes(counting_from<digest>(0x20))};
        t = said.hash(crypto, 1, "laptop");
        auth_ok.id = counting_from<session_id>(0xa0);
        auth_ok.resume_timeout_ms = 120'000;
        auth_ok.mac = server_auth_mac(crypto, key, t, auth_ok);
    }
};

} // namespace

TEST_CASE("the vectors of docs/PROTOCOL.md for frames") {
    CHECK(documented("syn") == frame(1, flag::syn));
    CHECK(documented("data") == frame(1, flag::data, of_text("hello")));
    CHECK(documented("fin") == frame(1, flag::fin));
    CHECK(documented("data-fin") == frame(1, flag::data | flag::fin, of_text("bye")));
    CHECK(documented("rst") ==
          frame(1, flag::rst, {0, 0, 0, static_cast<std::uint8_t>(reset_code::cancelled)}));
    CHECK(documented("ping") == frame(0, flag::ping, {0, 0, 0, 0, 0, 0, 0, 1}));
    CHECK(documented("pong") == frame(0, flag::pong, {0, 0, 0, 0, 0, 0, 0, 1}));

    SECTION("all of which are legal in their version") {
        for (const char* name : {"syn", "data", "fin", "data-fin", "rst", "ping", "pong", "credit",
                                 "ack", "client-hello", "resume", "goaway", "close"})
            CHECK_FALSE(check_header(decode_header(documented(name).data()), 2));
        CHECK_FALSE(check_header(decode_header(documented("v1-rst").data()), 1));
        CHECK_FALSE(check_header(decode_header(documented("v1-ping").data()), 1));
    }
}

TEST_CASE("the vectors of docs/PROTOCOL.md for the handshake") {
    const conversation c;
    CHECK(documented("client-hello") == control_frame(c.client_hello));
    CHECK(documented("server-hello") == control_frame(c.server_hello));
    CHECK(documented("key") == as_bytes(c.key));
    CHECK(documented("exporter") == c.said.exporter);
    CHECK(documented("transcript") == as_bytes(c.t));

    transcript without = c.said;
    without.exporter.clear();
    CHECK(documented("transcript-none") == as_bytes(without.hash(c.crypto, 0, "")));

    CHECK(documented("auth") ==
          control_frame(auth_frame{1, "laptop", client_auth_mac(c.crypto, c.key, c.t)}));
    CHECK(documented("auth-ok") == control_frame(c.auth_ok));
    CHECK(documented("auth-fail") == frame(0, flag::ctrl, encode_auth_fail(1)));
    CHECK(documented("resume-secret") ==
          as_bytes(resume_secret(c.crypto, c.key, c.t, c.auth_ok.id)));
}

TEST_CASE("the vectors of docs/PROTOCOL.md for resumption") {
    const conversation c;
    const auto secret = resume_secret(c.crypto, c.key, c.t, c.auth_ok.id);
    const auto exporter = as_bytes(counting_from<digest>(0x40));
    CHECK(documented("resume-exporter") == exporter);

    resume_frame resume;
    resume.id = c.auth_ok.id;
    resume.epoch = 1;
    resume.recv_frames = 7;
    resume.nonce = counting_from<nonce16>(0xc0);
    resume.proof = client_resume_proof(c.crypto, secret, resume, exporter);
    CHECK(documented("resume") == control_frame(resume));

    resume_ok_frame answer;
    answer.epoch = 1;
    answer.recv_frames = 3;
    answer.first_frame = 8;
    answer.proof = server_resume_proof(c.crypto, secret, resume, answer, exporter);
    CHECK(documented("resume-ok") == control_frame(answer));
    CHECK(documented("resume-fail") ==
          control_frame(resume_fail_frame{resume_failure::unknown_session, 0}));
    CHECK(decode_u64(bytes_view(documented("start")).subspan(frame_header_size)) == 4);
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
              close_frame{static_cast<std::uint8_t>(close_code::shutting_down), "stopped"}));
}
