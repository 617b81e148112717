#include "protocol/frame.hpp"

#include "protocol/error.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using muxsocks::tests::hex;
using muxsocks::tests::to_hex;

namespace {

/// The header is written as the vector says, and read from it.
void require_vector(const frame_header& header, std::string_view vector) {
    const auto wire = hex(vector);
    REQUIRE(wire.size() == frame_header_size);
    std::array<std::uint8_t, frame_header_size> written{};
    encode_header(written.data(), header);
    CHECK(to_hex(written) == to_hex(wire));
    CHECK(decode_header(wire.data()) == header);
}

std::error_code check(std::uint32_t stream_id, unsigned flags, std::uint16_t length,
                      unsigned version) {
    return check_header({stream_id, static_cast<std::uint8_t>(flags), length}, version);
}

} // namespace

TEST_CASE("big-endian numbers") {
    std::array<std::uint8_t, 8> bytes{};
    store_u16(bytes.data(), 0x8192);
    CHECK(to_hex(std::span(bytes).first(2)) == "81 92");
    CHECK(load_u16(bytes.data()) == 0x8192);
    store_u32(bytes.data(), 0x81929394);
    CHECK(to_hex(std::span(bytes).first(4)) == "81 92 93 94");
    CHECK(load_u32(bytes.data()) == 0x81929394);
    store_u64(bytes.data(), 0x8192939495969798);
    CHECK(to_hex(bytes) == "81 92 93 94 95 96 97 98");
    CHECK(load_u64(bytes.data()) == 0x8192939495969798);
}

TEST_CASE("a frame header on the wire") {
    SECTION("SYN") {
        require_vector({1, flag::syn, 0}, "00 00 00 01 " // stream id
                                          "01 "          // flags
                                          "00 00");      // length
    }
    SECTION("FIN") {
        require_vector({3, flag::fin, 0}, "00 00 00 03 " // stream id
                                          "02 "          // flags
                                          "00 00");      // length
    }
    SECTION("DATA") {
        require_vector({0x01020305, flag::data, 16'377}, "01 02 03 05 " // stream id
                                                         "04 "          // flags
                                                         "3f f9");      // length
    }
    SECTION("DATA with FIN") {
        require_vector({5, flag::data | flag::fin, 65'535}, "00 00 00 05 " // stream id
                                                            "06 "          // flags
                                                            "ff ff");      // length
    }
    SECTION("PING") {
        require_vector({0, flag::ping, 8}, "00 00 00 00 " // stream id
                                           "08 "          // flags
                                           "00 08");      // length
    }
    SECTION("PONG") {
        require_vector({0, flag::pong, 8}, "00 00 00 00 " // stream id
                                           "10 "          // flags
                                           "00 08");      // length
    }
    SECTION("RST") {
        require_vector({0xfffffffd, flag::rst, 4}, "ff ff ff fd " // stream id
                                                   "20 "          // flags
                                                   "00 04");      // length
    }
    SECTION("CTRL") {
        require_vector({0, flag::ctrl, 46}, "00 00 00 00 " // stream id
                                            "40 "          // flags
                                            "00 2e");      // length
    }
}

TEST_CASE("of the 256 sets of flags") {
    SECTION("eight are legal in version 2") {
        const unsigned legal[] = {0x01, 0x02, 0x04, 0x06, 0x08, 0x10, 0x20, 0x40};
        for (unsigned flags = 0; flags < 256; ++flags) {
            INFO("flags " << flags);
            const bool known =
                std::find(std::begin(legal), std::end(legal), flags) != std::end(legal);
            const bool illegal = check(1, flags, 0, 2) == errc::illegal_flags;
            CHECK(illegal != known);
        }
    }
    SECTION("seven in version 1, which knows no CTRL") {
        const unsigned legal[] = {0x01, 0x02, 0x04, 0x06, 0x08, 0x10, 0x20};
        for (unsigned flags = 0; flags < 256; ++flags) {
            INFO("flags " << flags);
            const bool known =
                std::find(std::begin(legal), std::end(legal), flags) != std::end(legal);
            const bool illegal = check(1, flags, 0, 1) == errc::illegal_flags;
            CHECK(illegal != known);
        }
    }
}

TEST_CASE("a header is checked against its stream") {
    for (const unsigned version : {1U, 2U}) {
        INFO("version " << version);
        CHECK(check(0, flag::data, 1, version) == errc::frame_on_stream_zero);
        CHECK(check(0, flag::fin, 0, version) == errc::frame_on_stream_zero);
        CHECK(check(0, flag::data | flag::fin, 1, version) == errc::frame_on_stream_zero);
        CHECK(check(0, flag::syn, 0, version) == errc::frame_on_stream_zero);
        CHECK(check(1, flag::ping, 8, version) == errc::ping_on_stream);
        CHECK(check(1, flag::pong, 8, version) == errc::ping_on_stream);
    }
    // A version 1 server answers HELLO with this.
    CHECK_FALSE(check(0, flag::rst, 0, 1));
    CHECK(check(0, flag::rst, 4, 2) == errc::frame_on_stream_zero);
    CHECK_FALSE(check(7, flag::ctrl, 9, 2));
    CHECK_FALSE(check(0, flag::ctrl, 9, 2));
}

TEST_CASE("a header is checked against its length") {
    SECTION("in version 2") {
        CHECK(check(1, flag::syn, 1, 2) == errc::bad_frame_length);
        CHECK(check(1, flag::rst, 0, 2) == errc::bad_frame_length);
        CHECK(check(1, flag::rst, 5, 2) == errc::bad_frame_length);
        CHECK_FALSE(check(1, flag::rst, 4, 2));
        CHECK(check(0, flag::ping, 0, 2) == errc::bad_frame_length);
        CHECK(check(0, flag::pong, 7, 2) == errc::bad_frame_length);
        CHECK_FALSE(check(0, flag::pong, 8, 2));
        CHECK(check(1, flag::ctrl, 0, 2) == errc::bad_frame_length);
        CHECK_FALSE(check(1, flag::data, 0, 2));
        CHECK_FALSE(check(1, flag::data, 65'535, 2));
    }
    SECTION("in version 1, which never looked at it") {
        CHECK_FALSE(check(1, flag::syn, 1, 1));
        CHECK_FALSE(check(1, flag::rst, 0, 1));
        CHECK_FALSE(check(0, flag::ping, 0, 1));
        CHECK_FALSE(check(0, flag::pong, 3, 1));
    }
}
