/// \file
/// The test vectors of docs/PROTOCOL.md are what the code sends: a reader who implements the
/// protocol from that page checks himself against the same bytes.

#include "protocol/error.hpp"
#include "protocol/frame.hpp"
#include "protocol/handshake.hpp"
#include "protocol/link/session_crypto.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
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
            (binds ? feature::channel_binding : 0) | feature::resume;
        client_hello.initial_window = server_hello.initial_window = 256 * 1024;
        server_hello.max_streams = 16'384;
        client_hello.nonce = counting_from<nonce16>(0x00);
        server_hello.nonce = counting_from<nonce16>(0x10);
        said = {encode(client_hello), encode(server_hello), exporter(0x20)};
        if (with_token) {
            key = tests::token_key(crypto, "0123456789abcdefghijklmnopqrstuv");
            auth.method = 1;
            auth.user = "laptop";
        }
        t = said.hash(crypto, auth.method, auth.user);
        auth.mac = client_auth_mac(crypto, key, t);
        auth_ok.id = counting_from<session_id>(0xa0);
        auth_ok.resume_timeout_ms = 120'000;
        auth_ok.mac = server_auth_mac(crypto, key, t, auth_ok);
    }

    bytes exporter(std::uint8_t first) const {
        return binds ? as_bytes(counting_from<digest>(first)) : bytes{};
    }

    void check_handshake(const std::string& suffix) const {
        CHECK(documented("transcript" + suffix) == as_bytes(t));
        CHECK(documented("auth" + suffix) == control_frame(auth));
        CHECK(documented("auth-ok" + suffix) == control_frame(auth_ok));
        CHECK(documented("resume-secret" + suffix) == as_bytes(secret()));
    }

    digest secret() const { return resume_secret(crypto, key, t, auth_ok.id); }

    void check_resumption(const std::string& suffix) const {
        resume_frame resume;
        resume.id = auth_ok.id;
        resume.epoch = 1;
        resume.recv_frames = 7;
        resume.nonce = counting_from<nonce16>(0xc0);
        resume.proof = client_resume_proof(crypto, secret(), resume, exporter(0x40));
        CHECK(documented("resume" + suffix) == control_frame(resume));

        resume_ok_frame answer;
        answer.epoch = 1;
        answer.recv_frames = 3;
        answer.first_frame = 8;
        answer.proof = server_resume_proof(crypto, secret(), resume, answer, exporter(0x40));
        CHECK(documented("resume-ok" + suffix) == control_frame(answer));
    }
};

/// The second column of the page's table of errors: what CLOSE says.
std::set<std::string> documented_close_texts() {
    std::set<std::string> texts;
    std::ifstream page(MUXSOCKS_SOURCE_DIR "/docs/PROTOCOL.md");
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) inside = line == "## Errors";
        const auto bar = line.find(" | ");
        if (!inside || !line.starts_with("| ") || bar == line.npos) continue;
        auto text = line.substr(bar + 3);
        text.resize(text.size() - std::string_view(" |").size());
        if (text != "text") CHECK(texts.insert(text).second);
    }
    return texts;
}

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
    c.check_handshake("");
    CHECK(documented("auth-fail") == frame(0, flag::ctrl, encode_auth_fail(1)));

    const conversation plain(false);
    CHECK(documented("client-hello-plain") == control_frame(plain.client_hello));
    CHECK(documented("server-hello-plain") == control_frame(plain.server_hello));
    plain.check_handshake("-plain");
    conversation(false, false).check_handshake("-open");
}

TEST_CASE("the vectors of docs/PROTOCOL.md for resumption") {
    const conversation c;
    CHECK(documented("resume-exporter") == c.exporter(0x40));
    c.check_resumption("");
    conversation(false).check_resumption("-plain");
    conversation(false, false).check_resumption("-open");
    CHECK(documented("resume-fail") ==
          control_frame(resume_fail_frame{resume_failure::unknown_session, 0}));
    CHECK(decode_u64(bytes_view(documented("start")).subspan(frame_header_size)) == 4);
}

TEST_CASE("docs/PROTOCOL.md has the sentence of every CLOSE for a fault or a flood, and no other") {
    // The ends of sessions over several links (protocol/session), which no program opens yet.
    const std::set<errc> to_come = {errc::bad_offset, errc::bad_syn, errc::too_many_ids,
                                    errc::bad_drop, errc::flood_of_extensions};
    std::set<std::string> texts;
    for (int value = 1; value < static_cast<int>(errc::frame_timeout); ++value)
        // The one that is told by AUTH_FAIL.
        if (static_cast<errc>(value) != errc::authentication_failed &&
            !to_come.contains(static_cast<errc>(value)))
            texts.insert(make_error_code(static_cast<errc>(value)).message());
    const auto documented = documented_close_texts();
    for (const auto& text : documented)
        CHECK(texts.count(text) == 1);
    for (const auto& text : texts) {
        INFO(text);
        CHECK(documented.count(text) == 1);
    }
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
