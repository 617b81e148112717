#include "protocol/session/control.hpp"

#include "protocol/session/frame_rules.hpp"
#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

namespace {

template <std::size_t Size>
std::array<std::uint8_t, Size> counting(std::uint8_t from) {
    std::array<std::uint8_t, Size> out{};
    for (auto& each : out)
        each = from++;
    return out;
}

/// Every cut of the payload, and one byte more, is a fault.
template <typename Decode>
void check_bounds(const octets& payload, Decode decode) {
    CHECK(decode(payload));
    for (std::size_t size = 1; size < payload.size(); ++size)
        CHECK_FALSE(decode(bytes_view(payload).first(size)));
    auto longer = payload;
    longer.push_back(0);
    CHECK_FALSE(decode(longer));
}

} // namespace

TEST_CASE("HELLO says how many links, and where to join") {
    hello_frame hello;
    hello.features = 3;
    hello.initial_window = 0x40000;
    CHECK(encode(hello).size() == 30); // As if there were no links.
    hello.max_links = 4;
    hello.join_at = "a.example:443";
    const auto payload = encode(hello);
    const octets tlvs(payload.begin() + 30, payload.end());
    CHECK(tlvs == octets{1,   0,   1,   4,   2,   0,   13,  'a', '.', 'e',
                         'x', 'a', 'm', 'p', 'l', 'e', ':', '4', '4', '3'});
    const auto back = decode_hello(payload);
    REQUIRE(back);
    CHECK(back->max_links == 4);
    CHECK(back->join_at == "a.example:443");
    SECTION("0 links are a fault") {
        auto none = payload;
        none[33] = 0;
        CHECK_FALSE(decode_hello(none));
    }
    SECTION("an unknown TLV is skipped") {
        auto more = payload;
        more.insert(more.end(), {77, 0, 2, 1, 2});
        CHECK(decode_hello(more));
        more.pop_back();
        CHECK_FALSE(decode_hello(more));
    }
}

TEST_CASE("the frames of links have bounds") {
    join_frame join;
    join.id = counting<16>(0xa0);
    join.number = 5;
    join.proof = counting<32>(1);
    check_bounds(encode(join), decode_join);
    CHECK(encode(join).size() == 54);
    check_bounds(encode(join_ok_frame{5, counting<32>(1)}), decode_join_ok);
    check_bounds(encode(join_fail_frame{join_failure::number_used, 250}), decode_join_fail);
    CHECK(encode(join_fail_frame{join_failure::number_used, 250}) == octets{0x23, 2, 0, 0, 0, 250});
    CHECK_FALSE(decode_join_fail(octets{0x23, 0, 0, 0, 0, 0}));
    CHECK_FALSE(decode_join_fail(octets{0x23, 4, 0, 0, 0, 0}));
    check_bounds(encode(drop_frame{5, 12}), decode_drop);
    CHECK(encode(drop_frame{5, 12}) == octets{0x24, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 12});
}

TEST_CASE("CLOSE and NOTICE carry a code for programs and a text for people") {
    CHECK(encode(close_frame{3, 0x0102, "bye"}) == octets{0x31, 3, 1, 2, 'b', 'y', 'e'});
    const auto close = decode_close(octets{0x31, 3, 1, 2, 'b'});
    REQUIRE(close);
    CHECK(close->detail == 0x0102);
    CHECK(close->text == "b");
    CHECK_FALSE(decode_close(octets{0x31, 3, 1}));
    CHECK(encode(notice_frame{2, 60, "x"}) == octets{0x81, 0, 2, 0, 0, 0, 60, 'x'});
    CHECK_FALSE(decode_notice(octets{0x81, 0, 2, 0, 0, 0}));
    octets long_text(7 + 256, 'x');
    long_text[0] = 0x81;
    CHECK_FALSE(decode_notice(long_text));
    long_text.pop_back();
    CHECK(decode_notice(long_text));
    CHECK(decode_auth_fail(octets{4, 1}));
    CHECK_FALSE(decode_auth_fail(octets{4, 2}));
    CHECK_FALSE(decode_auth_fail(octets{4}));
}

TEST_CASE("SYN stands with DATA, and all that has bytes has an offset") {
    const auto fault = [](std::uint32_t id, unsigned flags, std::uint16_t length) {
        return check_header({id, static_cast<std::uint8_t>(flags), length});
    };
    for (const auto flags : {0x04, 0x02, 0x06, 0x05, 0x07}) {
        CHECK_FALSE(fault(1, flags, 8));
        CHECK_FALSE(fault(1, flags, 65'535));
        CHECK(fault(1, flags, 7) == errc::bad_frame_length);
        CHECK(fault(0, flags, 8) == errc::frame_on_stream_zero);
    }
    for (const auto flags : {0x01, 0x03, 0x0c, 0x24, 0x80, 0x00})
        CHECK(fault(1, flags, 8) == errc::illegal_flags);
    CHECK(fault(1, 0x20, 5) == errc::bad_frame_length);
    CHECK(fault(1, 0x08, 8) == errc::ping_on_stream);
    CHECK(fault(0, 0x40, 0) == errc::bad_frame_length);
}

TEST_CASE("what is kept: DATA, FIN, RST, GOAWAY and DROP") {
    CHECK(is_kept(data(1, 0, "a").data()));
    CHECK(is_kept(data(1, 0, "", flag::fin).data()));
    CHECK(is_kept(rst(1).data()));
    CHECK(is_kept(drop(1, 1).data()));
    CHECK(is_kept(control(encode(goaway_frame{})).data()));
    CHECK_FALSE(is_kept(ack(1).data()));
    CHECK_FALSE(is_kept(credit(1, 5).data()));
    CHECK_FALSE(is_kept(frame(0, flag::ping, octets(8)).data()));
    CHECK_FALSE(is_kept(control(encode(notice_frame{})).data()));
}

TEST_CASE("each proof of a link is good for that link, that side and that channel") {
    const auto crypto = muxsocks::sim::test_crypto();
    const auto proofs_of = [&](std::uint8_t id) {
        session_proofs proofs(crypto);
        proofs.on_client_hello(octets{1});
        proofs.on_server_hello(octets{2});
        proofs.client_mac(1, "laptop", counting<32>(3));
        session_id name{};
        name.fill(id);
        proofs.establish(name);
        return proofs;
    };
    const auto proofs = proofs_of(1);
    const octets exporter(32, 9);
    const auto good = proofs.join_proof(4, exporter);
    CHECK(good == proofs_of(1).join_proof(4, exporter));
    CHECK(good != proofs.join_proof(5, exporter));
    CHECK(good != proofs.join_proof(4, {}));
    CHECK(good != proofs.join_ok_proof(4, exporter));
    CHECK(good != proofs_of(2).join_proof(4, exporter));
}

} // namespace muxsocks::tests
