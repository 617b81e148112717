#include "tests/session_sim/plan.hpp"

#include "tests/sim/test_crypto.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>

namespace muxsocks::session_sim {
namespace {

using muxsocks::sim::test_crypto;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t refused_mark = 1U << 31; ///< In the first word of a reply.

side_plan draw_side(random_source& random) {
    side_plan side;
    side.bytes = random.one_of<std::uint64_t>({0, 1, 50, 300, 2'000, 2'000, 6'000, 6'000});
    if (random.chance(1, 20)) side.bytes = 40'000;
    side.burst = random.one_of<std::uint64_t>({1'000, 10'000, 10'000});
    side.appetite = random.one_of<std::uint64_t>({200, 2'000, 20'000});
    if (random.chance(1, 8)) {
        side.abort_at =
            random.one_of<std::uint64_t>({0, 0, random.below(300), random.below(6'000)});
        side.abort_how = static_cast<side_plan::abort_by>(random.below(3));
    }
    if (random.chance(1, 4)) {
        side.stall_at = random.below(3'000);
        side.stall_for = milliseconds(random.one_of<int>({5, 100, 1'000, 8'000}));
    }
    side.ends_by_finish = random.chance(1, 3);
    return side;
}

} // namespace

plan::plan(std::uint64_t seed, bool with_cuts, broken_rule broken) {
    random_source random(seed * 2 + (with_cuts ? 1 : 0));
    draw_settings(random);
    draw_streams(random);
    draw_links(random, with_cuts);
    client.broken = server.broken = broken;
    client.datagrams = server.datagrams = seed % 2 == 1;
}

void plan::draw_settings(random_source& random) {
    client.side = role::client;
    server.side = role::server;
    chunk_size = random.one_of<std::size_t>({1'024, 1'024, 2'048, 8'192});
    for (const auto settings : {&client, &server}) {
        settings->crypto = test_crypto();
        settings->user = "alice";
        settings->key = muxsocks::tests::token_key(settings->crypto, "a token");
        settings->initial_window = random.one_of<std::uint32_t>({64, 500, 2'000, 2'000, 65'536});
        settings->unasked_window =
            settings->initial_window / random.one_of<std::uint32_t>({1, 1, 1, 8});
        settings->stream_window_max =
            settings->initial_window * random.one_of<std::uint64_t>({1, 4, 64});
        settings->frame_payload = random.one_of<std::size_t>({40, 300, 300, 1'000, 16'377});
        settings->kept.initial = random.one_of<std::size_t>({700, 1'024, 3'072, 65'536});
        settings->kept.max = settings->kept.initial * random.one_of<std::size_t>({1, 1, 4});
        settings->kept.rst_extra = random.one_of<std::size_t>({100, 4'096});
        settings->overlapping = random.chance(1, 8);
        settings->max_streams = random.one_of<std::uint32_t>({1, 2, 4, 16'384});
        settings->session_memory = std::size_t{64} * 1024 * 1024;
        if (random.chance(1, 6))
            settings->session_memory = random.one_of<std::size_t>({8'192, 16'384, 40'000});
        // Tiny windows look like floods, which have tests of their own.
        settings->flood.credits_burst = 1e9;
        settings->flood.resets_burst = 1e9;
        if (random.chance(1, 3)) settings->keepalive = {seconds(2), seconds(1)};
    }
    if (random.chance(1, 4)) client.flood.resets_burst = 1; // It paces its own.
    if (random.chance(1, 8)) process_memory = 65'536;
    if (random.chance(1, 4)) user_streams = static_cast<std::uint32_t>(random.between(1, 2));
}

void plan::draw_streams(random_source& random) {
    const auto count = random.chance(1, 6) ? random.between(10, 20) : random.between(1, 6);
    const auto spread = random.one_of<std::uint64_t>({1, 500, 3'000});
    for (std::uint32_t number = 1; number <= count; ++number) {
        stream_plan& added = streams.emplace_back();
        added.number = number;
        added.client = draw_side(random);
        added.server = draw_side(random);
        added.refused = random.chance(1, 6);
        if (added.refused && random.chance(3, 4)) {
            // It hears why, and takes its time.
            added.client.stall_at = random.below(reply_size);
            added.client.stall_for = milliseconds(8'000);
        }
        added.last_words = !added.refused && random.chance(1, 12);
        added.opens_after = milliseconds(random.below(spread));
        if (random.chance(1, 3))
            (random.chance(1, 2) ? added.client : added.server).waits_for_end = true;
    }
}

void plan::draw_links(random_source& random, bool with_cuts) {
    pipe_capacity = random.one_of<std::size_t>({40, 300, 2'000, 20'000});
    // At least 50 KB a second: slower, the shorter keepalive would rightly find the link dead.
    delay = std::min<duration>(milliseconds(random.one_of<int>({0, 1, 20, 60})),
                               std::chrono::microseconds(20) * pipe_capacity);
    step_bytes = random.one_of<std::size_t>({60, 300, 2'000, 20'000});
    output_max = random.one_of<std::size_t>({1, 4'096, 65'536});
    go_away = random.chance(1, 10);
    close = random.chance(1, 20);
    retire = random.chance(1, 3);
    links = static_cast<unsigned>(random.between(1, 4));
    client.max_links = static_cast<std::uint8_t>(links + random.below(2));
    server.max_links = static_cast<std::uint8_t>(random.between(1, 5));
    roles_one_in = random.one_of<std::uint64_t>({5, 30, 300});
    twice = random.chance(1, 2);
    dial_pause = milliseconds(random.one_of<int>({1, 200, 2'000, 15'000, 15'000}));
    server_patience = seconds(random.one_of<int>({1, 3'000, 3'000, 3'000}));
    if (random.chance(1, 8)) client.resume = false;
    swallows = random.chance(1, 2);
    if (!with_cuts) return;
    cuts = static_cast<unsigned>(random.between(0, 40));
    cut_one_in = random.one_of<std::uint64_t>({20, 60, 200});
    if (random.chance(1, 2)) return;
    hand_overs = static_cast<unsigned>(random.between(1, 20));
    hand_over_one_in = random.one_of<std::uint64_t>({20, 100, 400});
}

std::uint8_t content(std::uint32_t stream_number, bool to_server, std::uint64_t offset) {
    const auto word = offset / 8;
    random_source source((std::uint64_t{stream_number} << 33) ^
                         (to_server ? word * 2 + 1 : word * 2));
    return static_cast<std::uint8_t>(source.next() >> (offset % 8 * 8));
}

std::array<std::uint8_t, request_size> request_of(const stream_plan& what) {
    std::array<std::uint8_t, request_size> request{};
    store_u32(request.data(), what.number);
    store_u32(request.data() + 4, ~what.number);
    return request;
}

std::array<std::uint8_t, reply_size> reply_of(const stream_plan& what) {
    std::array<std::uint8_t, reply_size> reply{};
    store_u32(reply.data(), what.refused ? what.number | refused_mark : what.number);
    return reply;
}

} // namespace muxsocks::session_sim
