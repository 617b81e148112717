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
class batch {
  public:
    /// `begin` is the first frames' offset, `payload` that of a frame with its offset.
    batch(std::size_t streams, std::size_t payload, std::uint64_t begin)
        : streams_(streams), size_(frame_header_size + payload), offset_(begin) {
        for (std::size_t i = 0; bytes_.size() + size_ <= batch_bytes; ++i) {
            const auto at = bytes_.size();
            bytes_.resize(at + size_, std::uint8_t(i));
            encode_header(bytes_.data() + at, {1, flag::data, static_cast<std::uint16_t>(payload)});
        }
        move_on();
    }

    bytes_view bytes() const { return bytes_; }
    /// The next bytes of the streams. A few instructions a frame, which are measured, too.
    void move_on() {
        for (std::size_t at = 0; at < bytes_.size(); at += size_) {
            store_u32(bytes_.data() + at, static_cast<std::uint32_t>(1 + 2 * stream_));
            store_u64(bytes_.data() + at + frame_header_size, offset_);
            if (++stream_ < streams_) continue;
            stream_ = 0;
            offset_ += size_ - data_header_size;
        }
    }

  private:
    std::size_t streams_;
    std::size_t size_; ///< Of a frame.
    std::size_t stream_ = 0;
    std::uint64_t offset_;
    std::vector<std::uint8_t> bytes_;
};

void count_frames(benchmark::State& state, std::size_t batch, std::size_t payload) {
    const auto frames = batch / (frame_header_size + payload);
    state.counters["frames"] = static_cast<double>(frames);
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(frames));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(batch));
}

/// Decoding and checking of headers, nothing else. Argument: payload bytes of a frame.
void parse_headers(benchmark::State& state) {
    const auto payload = static_cast<std::size_t>(state.range(0));
    const batch made(16, payload, 0);
    const auto all = made.bytes();
    for (auto _ : state) {
        for (std::size_t at = 0; at < all.size();) {
            const auto header = decode_header(all.data() + at);
            benchmark::DoNotOptimize(check_header(header));
            at += frame_header_size + header.length;
        }
    }
    count_frames(state, all.size(), payload);
}
BENCHMARK(parse_headers)->Arg(9)->Arg(64)->Arg(16'377)->Apply(fixed_iterations);

/// A batch through a session: frames, views, consumption, CREDIT and ACK. Arguments: streams,
/// payload bytes of a frame.
void receive_batch(benchmark::State& state) {
    const auto streams = static_cast<std::size_t>(state.range(0));
    const auto payload = static_cast<std::size_t>(state.range(1));
    session_pair pair;
    pair.open(streams);
    batch next(streams, payload, request_size);
    chunk_ref keep;
    for (auto _ : state) {
        pair.now += between_batches;
        pair.server.on_bytes(0, next.bytes(), pair.now);
        next.move_on();
        take_events(pair.server, pair.now);
        while (pair.server.wants_turn(0))
            lay_turn(pair.server, pair.now, keep, [](const read_slot&) {});
    }
    if (!pair.server.established() || pair.server.statistics().resets_sent != 0)
        state.SkipWithError("the session did not take the frames");
    count_frames(state, next.bytes().size(), payload);
}
BENCHMARK(receive_batch)
    ->Args({1, 16'377})
    ->Args({16, 16'377})
    ->Args({100, 1400})
    ->Args({1000, 64})
    ->Apply(fixed_iterations);

} // namespace
