/// \file
/// The application's side of SOCKS5: greeting and request as they arrive, and the reply.

#include "benchmarks/micro/fixed_iterations.hpp"
#include "socks5/handshake.hpp"

#include <algorithm>
#include <vector>

using namespace muxsocks::socks5;
using muxsocks::micro::fixed_iterations;

namespace {

using byte_vector = std::vector<std::uint8_t>;

const byte_vector greeting_none{5, 1, 0};
const byte_vector connect_ipv4{5, 1, 0, 1, 192, 0, 2, 1, 0, 80};

const byte_vector connect_name{5,   1,   0,   3,   15,  'w', 'w', 'w', '.', 'e', 'x',
                               'a', 'm', 'p', 'l', 'e', '.', 'o', 'r', 'g', 1,   187};

/// One conversation; `part` bytes arrive at a time, 0: each message whole.
void converse(benchmark::State& state, const byte_vector& request, std::size_t part) {
    for (auto _ : state) {
        server_handshake conversation;
        for (const auto* message : {&greeting_none, &request}) {
            std::span<const std::uint8_t> rest(*message);
            while (!rest.empty()) {
                const auto now = rest.first(part ? std::min(part, rest.size()) : rest.size());
                benchmark::DoNotOptimize(conversation.on_input(now));
                rest = rest.subspan(now.size());
            }
        }
        if (conversation.state() != handshake_state::request_ready) {
            state.SkipWithError("the request was not taken");
            break;
        }
        auto port = conversation.request().dst.port;
        benchmark::DoNotOptimize(port);
    }
    state.SetItemsProcessed(state.iterations());
}

void socks_address(benchmark::State& state) { converse(state, connect_ipv4, 0); }
void socks_name(benchmark::State& state) { converse(state, connect_name, 0); }
void socks_byte_by_byte(benchmark::State& state) { converse(state, connect_name, 1); }
BENCHMARK(socks_address)->Apply(fixed_iterations);
BENCHMARK(socks_name)->Apply(fixed_iterations);
BENCHMARK(socks_byte_by_byte)->Apply(fixed_iterations);

void socks_reply(benchmark::State& state) {
    byte_vector out;
    for (auto _ : state) {
        out.clear();
        append(out, make_reply(reply_code::succeeded));
        benchmark::DoNotOptimize(parse_reply(out));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(socks_reply)->Apply(fixed_iterations);

} // namespace
