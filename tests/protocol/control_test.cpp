#include "protocol/control.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"

using namespace muxsocks;
using muxsocks::tests::hex;
using muxsocks::tests::test_seed;
using muxsocks::tests::to_hex;

namespace {

using bytes = std::vector<std::uint8_t>;

template <std::size_t Size>
std::array<std::uint8_t, Size> counting_from(std::uint8_t first) {
    std::array<std::uint8_t, Size> out{};
    for (auto& byte : out)
        byte = first++;
    return out;
}

/// No beginning of the vector is taken for the frame, nor the vector with more behind it.
template <typename Decoder>
void require_exact_length(Decoder decode, const bytes& wire) {
    for (std::size_t size = 1; size < wire.size(); ++size) {
        INFO("first " << size << " bytes");
        REQUIRE_FALSE(decode(bytes_view(wire).first(size)));
    }
    auto longer = wire;
    longer.push_back(0);
    REQUIRE_FALSE(decode(longer));
}

/// A text ends where the frame ends: only what stands before it can be cut off.
template <typename Decoder>
void require_fields_before_text(Decoder decode, const bytes& wire, std::size_t fields) {
    for (std::size_t size = 1; size < fields; ++size) {
        INFO("first " << size << " bytes");
        REQUIRE_FALSE(decode(bytes_view(wire).first(size)));
    }
    REQUIRE(decode(bytes_view(wire).first(fields)));
}

const bytes hello_vector = hex("01 "                                               // HELLO
                               "02 "                                               // version
                               "00 00 00 03 "                                      // features
                               "00 04 00 00 "                                      // window
                               "00 00 40 00 "                                      // max_streams
                               "30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f"); // nonce

} // namespace

TEST_CASE("HELLO") {
    hello_frame hello;
    hello.features = feature::channel_binding | feature::resume;
    hello.initial_window = 262'144;
    hello.max_streams = 16'384;
    hello.nonce = counting_from<16>(0x30);

    SECTION("is written as the vector") { CHECK(to_hex(encode(hello)) == to_hex(hello_vector)); }
    SECTION("is read from it") {
        const auto read = decode_hello(hello_vector);
        REQUIRE(read);
        CHECK(read->version == 2);
        CHECK(read->features == 3);
        CHECK(read->initial_window == 262'144);
        CHECK(read->max_streams == 16'384);
        CHECK(read->nonce == hello.nonce);
    }
    SECTION("that is cut off is refused") {
        for (std::size_t size = 1; size < hello_vector.size(); ++size)
            REQUIRE_FALSE(decode_hello(bytes_view(hello_vector).first(size)));
    }
    SECTION("of version 0 is refused") {
        auto wire = hello_vector;
        wire[1] = 0;
        CHECK_FALSE(decode_hello(wire));
    }
    SECTION("of a later version is read") {
        auto wire = hello_vector;
        wire[1] = 9;
        REQUIRE(decode_hello(wire));
        CHECK(decode_hello(wire)->version == 9);
    }
    SECTION("may carry unknown fields") {
        auto wire = hello_vector;
        const auto more = hex("7f 00 03 aa bb cc " // type, length, value
                              "80 00 00");         // type, length, no value
        wire.insert(wire.end(), more.begin(), more.end());
        REQUIRE(decode_hello(wire));
        wire.pop_back();
        CHECK_FALSE(decode_hello(wire));
    }
    SECTION("may carry 32 of them, not 33") {
        auto wire = hello_vector;
        const auto empty = hex("01 00 00");
        for (int i = 0; i < 32; ++i)
            wire.insert(wire.end(), empty.begin(), empty.end());
        CHECK(decode_hello(wire));
        wire.insert(wire.end(), empty.begin(), empty.end());
        CHECK_FALSE(decode_hello(wire));
    }
    SECTION("may have 4096 bytes, not 4097") {
        auto wire = hello_vector;
        const auto head = hex("01 0f df"); // 4063 bytes: 30 + 3 + 4063 = 4096
        wire.insert(wire.end(), head.begin(), head.end());
        wire.resize(4096);
        CHECK(decode_hello(wire));
        wire[hello_vector.size() + 2] = 0xe0;
        wire.resize(4097);
        CHECK_FALSE(decode_hello(wire));
    }
}

TEST_CASE("AUTH") {
    const auto wire = hex("02 "                                              // AUTH
                          "01 "                                              // method: token
                          "05 61 6c 69 63 65 "                               // user: alice
                          "40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f " // mac
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f");
    auth_frame auth;
    auth.method = 1;
    auth.user = "alice";
    auth.mac = counting_from<32>(0x40);

    SECTION("is written as the vector") { CHECK(to_hex(encode(auth)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_auth(wire);
        REQUIRE(read);
        CHECK(read->method == 1);
        CHECK(read->user == "alice");
        CHECK(read->mac == auth.mac);
    }
    SECTION("has one length") { require_exact_length(decode_auth, wire); }
    SECTION("knows two methods") {
        auto other = wire;
        other[1] = 0;
        CHECK(decode_auth(other));
        other[1] = 2;
        CHECK_FALSE(decode_auth(other));
    }
    SECTION("carries users of 0 and of 255 bytes") {
        for (const std::size_t size : {0, 255}) {
            auth.user.assign(size, 'u');
            const auto read = decode_auth(encode(auth));
            REQUIRE(read);
            CHECK(read->user == auth.user);
        }
    }
}

TEST_CASE("AUTH_OK") {
    const auto wire = hex("03 "                                              // AUTH_OK
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f " // session_id
                          "00 01 d4 c0 "                                     // resume_timeout_ms
                          "40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f " // mac
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f");
    auth_ok_frame answer;
    answer.id = counting_from<16>(0x50);
    answer.resume_timeout_ms = 120'000;
    answer.mac = counting_from<32>(0x40);

    SECTION("is written as the vector") { CHECK(to_hex(encode(answer)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_auth_ok(wire);
        REQUIRE(read);
        CHECK(read->id == answer.id);
        CHECK(read->resume_timeout_ms == 120'000);
        CHECK(read->mac == answer.mac);
    }
    SECTION("has one length") { require_exact_length(decode_auth_ok, wire); }
}

TEST_CASE("AUTH_FAIL") {
    CHECK(to_hex(encode_auth_fail(1)) == "04 "  // AUTH_FAIL
                                         "01"); // code
    SECTION("has one code and one length") {
        const auto wire = hex("04 01");
        CHECK(decode_auth_fail(wire) == 1);
        require_exact_length(decode_auth_fail, wire);
        CHECK_FALSE(decode_auth_fail(hex("04 00")));
        CHECK_FALSE(decode_auth_fail(hex("04 02")));
    }
}

TEST_CASE("CREDIT, ACK and START") {
    SECTION("are a type and a number") {
        for (const auto* vector : {"10 00 00 00 01 00 00 00 02",    // CREDIT, limit
                                   "20 00 00 00 01 00 00 00 02",    // ACK, frames
                                   "24 00 00 00 01 00 00 00 02"}) { // START, first_frame
            const auto wire = hex(vector);
            CHECK(decode_u64(wire) == 0x1'0000'0002);
            require_exact_length(decode_u64, wire);
        }
    }
}

TEST_CASE("RESUME") {
    const auto wire = hex("21 "                                              // RESUME
                          "02 "                                              // version
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f " // session_id
                          "00 00 00 07 "                                     // epoch
                          "00 00 00 00 00 00 03 e8 "                         // recv_frames
                          "70 71 72 73 74 75 76 77 78 79 7a 7b 7c 7d 7e 7f " // nonce
                          "40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f " // proof
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f");
    resume_frame resume;
    resume.id = counting_from<16>(0x50);
    resume.epoch = 7;
    resume.recv_frames = 1'000;
    resume.nonce = counting_from<16>(0x70);
    resume.proof = counting_from<32>(0x40);

    SECTION("is written as the vector") { CHECK(to_hex(encode(resume)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_resume(wire);
        REQUIRE(read);
        CHECK(read->version == 2);
        CHECK(read->id == resume.id);
        CHECK(read->epoch == 7);
        CHECK(read->recv_frames == 1'000);
        CHECK(read->nonce == resume.nonce);
        CHECK(read->proof == resume.proof);
    }
    SECTION("has one length") { require_exact_length(decode_resume, wire); }
}

TEST_CASE("RESUME_OK") {
    const auto wire = hex("22 "                                              // RESUME_OK
                          "00 00 00 07 "                                     // epoch
                          "00 00 00 00 00 00 07 d0 "                         // recv_frames
                          "00 00 00 00 00 00 03 df "                         // first_frame
                          "40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f " // proof
                          "50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f");
    resume_ok_frame answer;
    answer.epoch = 7;
    answer.recv_frames = 2'000;
    answer.first_frame = 991;
    answer.proof = counting_from<32>(0x40);

    SECTION("is written as the vector") { CHECK(to_hex(encode(answer)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_resume_ok(wire);
        REQUIRE(read);
        CHECK(read->epoch == 7);
        CHECK(read->recv_frames == 2'000);
        CHECK(read->first_frame == 991);
        CHECK(read->proof == answer.proof);
    }
    SECTION("has one length") { require_exact_length(decode_resume_ok, wire); }
    SECTION("counts frames from 1") {
        answer.first_frame = 0;
        CHECK_FALSE(decode_resume_ok(encode(answer)));
    }
}

TEST_CASE("RESUME_FAIL") {
    const auto wire = hex("23 "           // RESUME_FAIL
                          "04 "           // code: try later
                          "00 00 03 e8"); // retry_ms
    SECTION("is written as the vector") {
        CHECK(to_hex(encode(resume_fail_frame{resume_failure::try_later, 1'000})) == to_hex(wire));
    }
    SECTION("is read from it") {
        const auto read = decode_resume_fail(wire);
        REQUIRE(read);
        CHECK(read->code == resume_failure::try_later);
        CHECK(read->retry_ms == 1'000);
    }
    SECTION("has one length") { require_exact_length(decode_resume_fail, wire); }
    SECTION("knows the codes 1 to 4") {
        for (unsigned code = 0; code < 256; ++code) {
            auto other = wire;
            other[1] = static_cast<std::uint8_t>(code);
            CHECK(decode_resume_fail(other).has_value() == (code >= 1 && code <= 4));
        }
    }
}

TEST_CASE("GOAWAY") {
    const auto wire = hex("30 "          // GOAWAY
                          "00 00 00 09 " // last_stream
                          "03 "          // code: shutting down
                          "00 00 75 30 " // drain_ms
                          "62 79 65");   // text: bye
    goaway_frame goaway;
    goaway.last_stream = 9;
    goaway.code = 3;
    goaway.drain_ms = 30'000;
    goaway.text = "bye";

    SECTION("is written as the vector") { CHECK(to_hex(encode(goaway)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_goaway(wire);
        REQUIRE(read);
        CHECK(read->last_stream == 9);
        CHECK(read->code == 3);
        CHECK(read->drain_ms == 30'000);
        CHECK(read->text == "bye");
    }
    SECTION("ends with its text") { require_fields_before_text(decode_goaway, wire, 10); }
    SECTION("has a text of 255 bytes at most") {
        goaway.text.assign(300, 'x');
        const auto read = decode_goaway(encode(goaway));
        REQUIRE(read);
        CHECK(read->text == std::string(255, 'x'));
        auto longer = encode(goaway);
        longer.push_back('x');
        CHECK_FALSE(decode_goaway(longer));
    }
}

TEST_CASE("CLOSE") {
    const auto wire = hex("31 "        // CLOSE
                          "01 "        // code: protocol error
                          "62 61 64"); // text: bad
    close_frame close;
    close.code = 1;
    close.text = "bad";

    SECTION("is written as the vector") { CHECK(to_hex(encode(close)) == to_hex(wire)); }
    SECTION("is read from it") {
        const auto read = decode_close(wire);
        REQUIRE(read);
        CHECK(read->code == 1);
        CHECK(read->text == "bad");
    }
    SECTION("ends with its text") { require_fields_before_text(decode_close, wire, 2); }
    SECTION("has a text of 255 bytes at most") {
        close.text.assign(300, 'x');
        const auto read = decode_close(encode(close));
        REQUIRE(read);
        CHECK(read->text == std::string(255, 'x'));
        auto longer = encode(close);
        longer.push_back('x');
        CHECK_FALSE(decode_close(longer));
    }
}

TEST_CASE("any bytes as a control frame") {
    // What parses is written back as it was; the memory has exactly the size of the payload.
    std::mt19937 random{test_seed()};
    for (int round = 0; round < 20'000; ++round) {
        bytes payload(1 + random() % 100);
        for (auto& byte : payload)
            byte = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : random() % 6);
        INFO("seed " << test_seed() << ", round " << round << ": " << to_hex(payload));
        const auto same = [&](const bytes& written) {
            return std::equal(written.begin() + 1, written.end(), payload.begin() + 1,
                              payload.end());
        };
        decode_hello(payload); // Unknown fields are not kept.
        if (const auto f = decode_auth(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_auth_ok(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_resume(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_resume_ok(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_resume_fail(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_goaway(payload)) CHECK(same(encode(*f)));
        if (const auto f = decode_close(payload)) CHECK(same(encode(*f)));
        decode_u64(payload);
    }
}
