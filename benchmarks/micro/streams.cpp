/// \file
/// A stream's whole life at both ends: SYN with the request, the reply, FIN both ways.

#include "benchmarks/micro/fixed_iterations.hpp"
#include "benchmarks/micro/session_pair.hpp"

using namespace muxsocks;
using namespace muxsocks::micro;

namespace {

constexpr std::array<std::uint8_t, 10> reply{5, 0, 0, 1, 192, 0, 2, 1, 0, 80};

/// Argument: streams that are under way together.
void open_and_close(benchmark::State& state) {
    const auto together = static_cast<std::size_t>(state.range(0));
    session_pair pair;
    for (auto _ : state) {
        // Below the rate at which a server ends the session.
        pair.now += together * std::chrono::milliseconds(1);
        const auto streams = pair.open(together);
        for (const auto s : pair.opened) {
            pair.server.write(*s, reply);
            pair.server.finish(*s);
        }
        for (const auto s : streams)
            pair.client.finish(*s);
        pair.exchange();
        for (const auto s : streams)
            pair.client.release(*s);
        for (const auto s : pair.opened)
            pair.server.release(*s);
        pair.opened.clear();
    }
    if (!pair.client.established() || pair.client.statistics().resets_received != 0)
        state.SkipWithError("a stream did not end as it should");
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(open_and_close)->Arg(1)->Arg(64)->Apply(fixed_iterations);

} // namespace
