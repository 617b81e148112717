// What those can do who have no token: say nothing, fail, or change keys for ever.

#include "tests/attack/attack.hpp"

#include <algorithm>
#include <random>

namespace muxsocks::attack {
namespace {

awaitable<void> idle_once(run& in, std::size_t n) {
    const auto held = std::make_unique<link>(in.io, in.server(n));
    co_await held->connect_tcp();
    ++in.counts["connected"];
    co_await held->ended();
    ++in.counts["ended"];
}

bytes random_text(std::size_t count) {
    static std::mt19937_64 random(1);
    bytes made(count);
    std::ranges::generate(made, [] { return static_cast<std::uint8_t>(random()); });
    return made;
}

awaitable<void> fail_once(run& in, std::size_t n) {
    const auto kind = in.args.kind;
    auto where = in.server(n);
    where.tls = where.tls && kind != "garbage" && kind != "cut";
    const auto held = std::make_unique<link>(in.io, where);
    ++in.counts["tried"];
    ++in.counts["under way"];
    try {
        co_await held->connect();
        bytes out;
        if (kind == "garbage") {
            out = random_text(600);
        } else if (kind == "hello") {
            wire::put(out, 0, wire::ctrl, random_text(64));
        } else if (kind == "token") {
            wire::handshake secrets("nobody" + std::to_string(n));
            wire::put(out, 0, wire::ctrl, secrets.client_hello(65'536, where.tls));
            held->send(out);
            const auto hello = co_await held->receive();
            out.clear();
            wire::put(out, 0, wire::ctrl, secrets.client_auth(hello.payload, held->exporter()));
        }
        held->send(out);
        if (kind != "cut") co_await held->ended();
    } catch (const std::exception&) {
        ++in.counts["refused"];
    }
    held->cut();
    --in.counts["under way"];
}

awaitable<void> update_once(run& in, std::size_t n) {
    while (!in.over()) {
        const auto held = std::make_shared<link>(in.io, in.server(n));
        bool refused = false;
        try {
            co_await held->connect();
            ++in.counts["links"];
            start(in, [](std::shared_ptr<link> own) -> awaitable<void> {
                co_await own->ended();
                own->cut();
            }(held));
            constexpr std::size_t at_once = 500;
            constexpr std::size_t waiting_max = 256 << 10U;
            while (held->open() && !in.over()) {
                held->send_key_updates(at_once);
                in.counts["messages"] += at_once;
                co_await held->drained(waiting_max);
                co_await pause(in.io, std::chrono::microseconds(100));
            }
        } catch (const std::exception&) {
            refused = true;
        }
        if (refused) co_await pause(in.io, std::chrono::milliseconds(20));
    }
}

} // namespace

awaitable<void> stay_idle(run& in) {
    std::size_t n = 0;
    constexpr std::size_t addresses = 512;
    while (co_await in.go_on_after(std::chrono::milliseconds(1)))
        for (std::size_t due = in.due(); due > 0; --due)
            start(in, idle_once(in, n++ % addresses));
}

awaitable<void> fail_handshakes(run& in) {
    constexpr double at_once = 256;
    std::size_t n = 0;
    while (co_await in.go_on_after(std::chrono::milliseconds(1)))
        for (std::size_t due = in.due(); due > 0 && in.counts["under way"] < at_once; --due)
            start(in, fail_once(in, n++ % 65'536));
}

awaitable<void> update_keys(run& in) {
    for (std::size_t n = 0; n < std::max<std::size_t>(in.args.count, 1); ++n)
        start(in, update_once(in, n));
    co_await in.until_over();
}

} // namespace muxsocks::attack
