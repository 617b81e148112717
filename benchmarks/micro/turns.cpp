/// \file
/// What leaves: how a session fills a turn, and what it costs to find the streams whose turn it is
/// among many.

#include "benchmarks/micro/fixed_iterations.hpp"
#include "benchmarks/micro/session_pair.hpp"

using namespace muxsocks;
using namespace muxsocks::micro;

namespace {

constexpr duration between_turns = std::chrono::microseconds(100);

/// A session with many streams whose peer grants everything and acknowledges at once.
class sender {
  public:
    sender(std::size_t open, std::size_t active) : active_(pair_.open(open)) {
        laid_ = pair_.client_frames();
        active_.resize(active);
        for (const auto s : active_)
            s->send.on_credit(std::uint64_t{1} << 60);
    }

    void make_readable() {
        for (const auto s : active_)
            pair_.client.on_readable(*s);
    }
    /// One turn, whose reads fill their slots or, with `bytes`, give so many and are drained.
    void turn(std::size_t bytes) {
        pair_.now += between_turns;
        const auto sent = lay_turn(pair_.client, pair_.now, keep_, [&](const read_slot& slot) {
            laid_ += bytes ? 1 : slot.count;
            pair_.client.on_read(slot, bytes ? bytes : slot.size,
                                 bytes ? read_outcome::drained : read_outcome::more);
        });
        benchmark::DoNotOptimize(sent.data());
        bytes_ += sent.size();
        acknowledge();
    }
    bool wants_turn() const { return pair_.client.wants_turn(0); }
    std::uint64_t bytes() const { return bytes_; }
    bool healthy() const {
        return pair_.client.established() && pair_.client.statistics().kept_full == 0;
    }

  private:
    void acknowledge() {
        std::array<std::uint8_t, frame_header_size + 9> ack{};
        encode_header(ack.data(), {0, flag::ctrl, 9});
        ack[frame_header_size] = static_cast<std::uint8_t>(control_type::ack);
        store_u64(ack.data() + frame_header_size + 1, laid_);
        pair_.client.on_bytes(0, ack, pair_.now);
        take_events(pair_.client, pair_.now);
    }

    session_pair pair_;
    std::vector<stream*> active_;
    std::uint64_t laid_ = 0; ///< Kept frames so far.
    std::uint64_t bytes_ = 0;
    chunk_ref keep_;
};

void check(benchmark::State& state, const sender& from) {
    if (!from.healthy()) state.SkipWithError("the session did not send as it should");
    state.SetBytesProcessed(static_cast<std::int64_t>(from.bytes()));
}

/// One full turn of bulk streams. Arguments: open streams, active ones.
void fill_turn(benchmark::State& state) {
    sender from(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
    from.make_readable();
    for (auto _ : state)
        from.turn(0);
    check(state, from);
}
BENCHMARK(fill_turn)
    ->Args({1, 1})
    ->Args({16, 16})
    ->Args({10'000, 16})
    ->Args({10'000, 10'000})
    ->Apply(fixed_iterations);

/// All active streams have a few bytes each: as many turns as that takes. Arguments: open streams,
/// active ones, bytes of each.
void send_little(benchmark::State& state) {
    const auto active = state.range(1);
    sender from(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(active));
    for (auto _ : state) {
        from.make_readable();
        while (from.wants_turn())
            from.turn(static_cast<std::size_t>(state.range(2)));
    }
    check(state, from);
    state.SetItemsProcessed(state.iterations() * active);
}
BENCHMARK(send_little)
    ->Args({1, 1, 1})
    ->Args({10'000, 1, 1})
    ->Args({10'000, 10'000, 1})
    ->Args({10'000, 10'000, 64})
    ->Apply(fixed_iterations);

} // namespace
