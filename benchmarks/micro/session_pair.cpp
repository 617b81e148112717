#include "benchmarks/micro/session_pair.hpp"

#include "tests/sim/test_crypto.hpp"
#include "tests/vectors/token_key.hpp"

#include <stdexcept>

namespace muxsocks::micro {

namespace {

constexpr std::array<std::uint8_t, request_size> request{5, 1, 0, 1, 192, 0, 2, 1, 0, 80};

session_settings settings_of(role side, chunk_pool& pool, std::uint32_t streams_max) {
    session_settings made;
    made.side = side;
    made.crypto = sim::test_crypto();
    made.pool = &pool;
    made.max_streams = streams_max;
    made.user = "bench";
    made.key = tests::token_key(made.crypto, "the token");
    made.find_user = [key = *made.key](std::string_view) {
        return std::optional(user_access{key, 0});
    };
    return made;
}

std::uint64_t kept_frames_of(bytes_view turn) {
    std::uint64_t count = 0;
    while (!turn.empty()) {
        const auto header = decode_header(turn.data());
        count += is_kept(turn.data()) ? 1 : 0;
        turn = turn.subspan(frame_header_size + header.length);
    }
    return count;
}

} // namespace

session_pair::session_pair(std::uint32_t streams_max)
    : client(settings_of(role::client, client_pool, streams_max), now),
      server(settings_of(role::server, server_pool, streams_max), now) {
    const std::array<std::uint8_t, 32> exporter{1, 2, 3};
    client.on_link(exporter, now);
    server.on_link(exporter, now);
    exchange();
    if (!client.established() || !server.established())
        throw std::logic_error("the two sessions did not agree");
}

std::vector<stream*> session_pair::open(std::size_t count) {
    std::vector<stream*> made;
    for (std::size_t i = 0; i < count; ++i)
        made.push_back(&client.open(request, nullptr));
    exchange();
    if (opened.size() < count) throw std::logic_error("not all streams were opened");
    return made;
}

void session_pair::exchange() {
    const auto nothing = [](const read_slot&) {};
    const auto accept = [this](stream& s) {
        server.accept(s);
        opened.push_back(&s);
    };
    chunk_ref keep;
    while (client.wants_turn(0) || server.wants_turn(0)) {
        const auto up = lay_turn(client, now, keep, nothing);
        client_frames_ += kept_frames_of(up);
        server.on_bytes(0, up, now);
        take_events(server, now, accept);
        client.on_bytes(0, lay_turn(server, now, keep, nothing), now);
        take_events(client, now);
    }
}

} // namespace muxsocks::micro
