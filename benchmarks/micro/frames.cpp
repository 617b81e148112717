/// \file
/// What arrives: headers alone, and whole batches through a session, with the credit and the
/// acknowledgements that it owes for them.

#include "benchmarks/micro/fixed_iterations.hpp"
#include "benchmarks/micro/session_pair.hpp"

using namespace muxsocks;
using namespace muxsocks::micro;

namespace {

constexpr std::size_t batch_bytes = 128 * 1024;
constexpr duration between_batches = std::chrono::microseconds(100);

/// DATA of `streams` streams by turns, as many frames as a batch holds.
std::vector<std::uint8_t> batch_of(std::size_t streams, std::size_t payload) {
    std::vector<std::uint8_t> batch;
    for (std::uint32_t i = 0; batch.size() + frame_header_size + payload <= batch_bytes; ++i) {
        const auto at = batch.size();
        batch.resize(at + frame_header_size + payload, std::uint8_t(i));
        encode_header(batch.data() + at, {1 + 2 * (i % std::uint32_t(streams)), flag::data,
                                          static_cast<std::uint16_t>(payload)});
    }
    return batch;
}

void count_frames(benchmark::State& state, std::size_t batch, std::size_t payload) {
    const auto frames = batch / (frame_header_size + payload);
    state.counters["frames"] = static_cast<double>(frames);
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(frames));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(batch));
}

/// Decoding and checking of headers, nothing else. Argument: payload bytes of a frame.
void parse_headers(benchmark::State& state) {
    const auto payload = static_cast<std::size_t>(state.range(0));
    const auto batch = batch_of(16, payload);
    for (auto _ : state) {
        for (std::size_t at = 0; at < batch.size();) {
            const auto header = decode_header(batch.data() + at);
            benchmark::DoNotOptimize(check_header(header, 2));
            at += frame_header_size + header.length;
        }
    }
    count_frames(state, batch.size(), payload);
}
BENCHMARK(parse_headers)->Arg(1)->Arg(64)->Arg(16'377)->Apply(fixed_iterations);

/// A batch through a session: frames, views, consumption, CREDIT and ACK. Arguments: streams,
/// payload bytes of a frame.
void receive_batch(benchmark::State& state) {
    const auto streams = static_cast<std::size_t>(state.range(0));
    const auto payload = static_cast<std::size_t>(state.range(1));
    session_pair pair;
    pair.open(streams);
    // Frames bear no numbers, so the same bytes are new each time.
    const auto batch = batch_of(streams, payload);
    chunk_ref keep;
    for (auto _ : state) {
        pair.now += between_batches;
        pair.server.on_bytes(batch, pair.now);
        take_events(pair.server, pair.now);
        while (pair.server.wants_turn())
            lay_turn(pair.server, pair.now, keep, [](const read_slot&) {});
    }
    if (!pair.server.established() || pair.server.statistics().resets_sent != 0)
        state.SkipWithError("the session did not take the frames");
    count_frames(state, batch.size(), payload);
}
BENCHMARK(receive_batch)
    ->Args({1, 16'377})
    ->Args({16, 16'377})
    ->Args({100, 1400})
    ->Args({1000, 64})
    ->Apply(fixed_iterations);

} // namespace
