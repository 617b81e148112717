#include "protocol/link/tls/tls_traffic.hpp"

#include "tests/catch.hpp"
#include "tests/link/tls/tls_pair.hpp"

#include <algorithm>
#include <random>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

using direction = record_protection::direction;
using bytes = byte_vector;

traffic_secret secret(std::uint8_t seed, std::size_t size) {
    return traffic_secret(bytes(size, seed));
}

constexpr std::uint16_t aes_128 = 0x1301;

/// A peer that says what it likes, and the traffic that has to cope with it.
struct lone_traffic {
    explicit lone_traffic(std::uint16_t suite = aes_128)
        : peer(direction::sending, suite, secret(1, hash_size(suite))),
          answers(direction::receiving, suite, secret(2, hash_size(suite))),
          traffic(record_protection(direction::sending, suite, secret(2, hash_size(suite))),
                  record_protection(direction::receiving, suite, secret(1, hash_size(suite))),
                  1 << 20) {}

    static std::size_t hash_size(std::uint16_t suite) { return suite == 0x1302 ? 48 : 32; }

    void say(tls_content type, const bytes& content) {
        output_buffer record;
        REQUIRE(peer.seal(type, content, record));
        wire.insert(wire.end(), record.view().begin(), record.view().end());
    }

    tls_traffic::received take() {
        bytes plain(wire.size() + tls_content_max);
        std::span<const std::uint8_t> rest(wire);
        const auto result = traffic.decrypt(rest, plain, out);
        got.insert(got.end(), plain.begin(),
                   plain.begin() + static_cast<std::ptrdiff_t>(result.plaintext));
        wire.clear();
        return result;
    }

    /// The oldest record of what the traffic has answered: its type and content.
    std::pair<std::uint8_t, bytes> answer() {
        tls_record_reader reader;
        auto rest = out.view();
        std::span<const std::uint8_t> record;
        REQUIRE(reader.next(rest, record) == tls_record_reader::outcome::record);
        bytes content(record.size());
        const auto opened = answers.open(record, content);
        REQUIRE(opened);
        content.resize(opened->size);
        out.consume(record.size());
        return {opened->type, content};
    }

    record_protection peer;
    record_protection answers;
    tls_traffic traffic;
    bytes wire;
    output_buffer out;
    bytes got;
};

const bytes key_update_silent{24, 0, 0, 1, 0};
const bytes key_update_asking{24, 0, 0, 1, 1};

} // namespace

TEST_CASE("the record protection of RFC 8448") {
    // Section 3, "Simple 1-RTT Handshake": the client's first record of application data.
    const auto bytes_of = [](const std::string& hex) { return from_hex(hex).value(); };
    const traffic_secret client(
        bytes_of("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"));
    bytes content(50);
    for (std::size_t i = 0; i < content.size(); ++i)
        content[i] = static_cast<std::uint8_t>(i);
    const auto expected = bytes_of(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20"
        "441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");

    SECTION("seals") {
        record_protection sending(direction::sending, aes_128, client);
        output_buffer out;
        REQUIRE(sending.seal(tls_content::application_data, content, out));
        CHECK(bytes(out.view().begin(), out.view().end()) == expected);
    }
    SECTION("opens") {
        record_protection receiving(direction::receiving, aes_128, client);
        bytes plain(expected.size());
        const auto opened = receiving.open(expected, plain);
        REQUIRE(opened);
        CHECK(opened->type == 23);
        plain.resize(opened->size);
        CHECK(plain == content);
    }
}

TEST_CASE("records of every cipher suite") {
    const auto suite = GENERATE(as<std::uint16_t>(), 0x1301, 0x1302, 0x1303);
    lone_traffic t(suite);
    const bytes data = noise(GENERATE(as<std::size_t>(), 0, 1, 16384, 16385, 100000), 1);
    t.say(tls_content::application_data, data);
    t.say(tls_content::handshake, key_update_silent);
    t.peer.update();
    t.say(tls_content::application_data, data);
    CHECK(t.take().how == tls_traffic::end::none);
    REQUIRE(t.got.size() == 2 * data.size());
    CHECK(std::equal(data.begin(), data.end(), t.got.begin()));
    CHECK(std::equal(data.begin(), data.end(),
                     t.got.begin() + static_cast<std::ptrdiff_t>(data.size())));
}

TEST_CASE("a key update of the peer") {
    lone_traffic t;

    SECTION("that asks for one is answered by one") {
        t.say(tls_content::handshake, key_update_asking);
        t.peer.update();
        t.say(tls_content::application_data, {1, 2, 3});
        CHECK(t.take().how == tls_traffic::end::none);
        CHECK(t.got == bytes{1, 2, 3});
        const auto [type, content] = t.answer();
        CHECK(type == 22);
        CHECK(content == key_update_silent);
        t.answers.update();
        REQUIRE(t.traffic.encrypt(bytes{7}, t.out));
        CHECK(t.answer().second == bytes{7});
    }
    SECTION("may be cut into records") {
        t.say(tls_content::handshake, {24, 0});
        t.say(tls_content::handshake, {0, 1, 0});
        t.peer.update();
        t.say(tls_content::application_data, {9});
        CHECK(t.take().how == tls_traffic::end::none);
        CHECK(t.got == bytes{9});
    }
    SECTION("with data between its parts is a breach") {
        t.say(tls_content::handshake, {24, 0});
        t.say(tls_content::application_data, {9});
        CHECK(t.take().how == tls_traffic::end::breach);
        CHECK(t.got.empty());
    }
    SECTION("must end its record") {
        t.say(tls_content::handshake, {24, 0, 0, 1, 0, 24});
        CHECK(t.take().how == tls_traffic::end::breach);
    }
    SECTION("asks for nothing else than 0 or 1") {
        t.say(tls_content::handshake, {24, 0, 0, 1, 2});
        CHECK(t.take().how == tls_traffic::end::breach);
        CHECK(t.answer() == std::pair<std::uint8_t, bytes>(21, {2, 10}));
    }
}

TEST_CASE("records without data in a row") {
    lone_traffic t;
    const auto say_empty = [&](unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            if (i % 2 == 0) {
                t.say(tls_content::application_data, {});
            } else {
                t.say(tls_content::handshake, key_update_asking);
                t.peer.update();
            }
        }
    };

    SECTION("are taken up to a number") {
        say_empty(tls_traffic::dataless_max);
        t.say(tls_content::application_data, {1});
        say_empty(tls_traffic::dataless_max);
        CHECK(t.take().how == tls_traffic::end::none);
        CHECK(t.got.size() == 1);
    }
    SECTION("end the link above it") {
        say_empty(tls_traffic::dataless_max + 1);
        CHECK(t.take().how == tls_traffic::end::flood);
    }
}

TEST_CASE("tickets of a server in front are ignored") {
    lone_traffic t;
    bytes ticket(4 + 200, 0x55);
    ticket[0] = 4, ticket[1] = 0, ticket[2] = 0, ticket[3] = 200;
    bytes two(ticket);
    two.insert(two.end(), ticket.begin(), ticket.end());
    t.say(tls_content::handshake, two);
    t.say(tls_content::application_data, {1});
    CHECK(t.take().how == tls_traffic::end::none);
    CHECK(t.got == bytes{1});
    CHECK(t.out.empty());
}

TEST_CASE("what has no place behind the handshake") {
    lone_traffic t;
    const auto [type, content] = GENERATE(table<int, bytes>({
        {22, {1, 0, 0, 0}},     // a ClientHello
        {22, {13, 0, 0, 1, 0}}, // a request for a certificate
        {22, {}},               // an empty handshake record
        {22, {24, 1, 0, 0}},    // a message of 64 KiB
        {21, {1}},              // half an alert
        {21, {1, 0, 1}},        // one and a half
        {20, {1}},              // a change of ciphers
        {99, {1}},              // nothing that there is
    }));
    t.say(static_cast<tls_content>(type), content);
    t.say(tls_content::application_data, {1});
    CHECK(t.take().how == tls_traffic::end::breach);
    CHECK(t.got.empty());
    CHECK(t.answer() == std::pair<std::uint8_t, bytes>(21, {2, 10}));
}

TEST_CASE("alerts of the peer") {
    lone_traffic t;
    SECTION("end the connection") {
        t.say(tls_content::alert, {1, 80}); // The level says nothing.
        const auto result = t.take();
        CHECK(result.how == tls_traffic::end::alert);
        CHECK(result.alert == 80);
    }
    SECTION("but for user_canceled, behind which close_notify follows") {
        t.say(tls_content::alert, {1, 90});
        t.say(tls_content::alert, {1, 0});
        CHECK(t.take().how == tls_traffic::end::closed);
        CHECK(t.traffic.close_received());
    }
}

TEST_CASE("padding is taken off, and nothing but padding is a fault") {
    lone_traffic t;
    // A record whose content ends in zeros keeps them: the type stands behind.
    t.say(tls_content::application_data, {5, 0, 0});
    CHECK(t.take().how == tls_traffic::end::none);
    CHECK(t.got == bytes{5, 0, 0});
    t.say(static_cast<tls_content>(0), {0, 0, 0});
    CHECK(t.take().how == tls_traffic::end::damaged);
}

TEST_CASE("ciphertext of any kind, cut anywhere, does no harm") {
    const unsigned seed = GENERATE(range(0U, 200U));
    CAPTURE(seed);
    std::mt19937 random(seed);
    lone_traffic t;
    t.say(tls_content::application_data, noise(random() % 40000, seed));
    auto wire = t.wire;
    for (unsigned i = random() % 4; i > 0; --i)
        wire[random() % wire.size()] ^= static_cast<std::uint8_t>(1 + random() % 255);
    const bool whole = wire == t.wire;
    std::span<const std::uint8_t> rest(wire);
    bytes plain(1 + random() % 20000);
    tls_traffic::end how = tls_traffic::end::none;
    std::size_t received = 0;
    while (how == tls_traffic::end::none && !rest.empty()) {
        auto piece = rest.first(1 + random() % rest.size());
        rest = rest.subspan(piece.size());
        for (bool more = true; more && how == tls_traffic::end::none;) {
            const auto result = t.traffic.decrypt(piece, plain, t.out);
            received += result.plaintext;
            how = result.how;
            more = result.more;
        }
    }
    if (whole)
        CHECK(how == tls_traffic::end::none);
    else
        CHECK((how != tls_traffic::end::none || received < 40000));
}
