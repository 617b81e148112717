#include "server/hand_over.hpp"

#include "protocol/link/session_crypto.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <future>
#include <stdexcept>

namespace muxsocks::server {
namespace {

using kind = hand_over_channel::kind;
using namespace std::chrono_literals;

/// A thread that does not come to it in this time is stopping.
constexpr auto thread_patience = 10s;

/// Runs the function in the thread and waits for its result; nothing if the thread has stopped.
template <typename Function>
auto run_in(asio::io_context& context, Function function) -> std::optional<decltype(function())> {
    using result = decltype(function());
    auto done = std::make_shared<std::promise<result>>();
    auto future = done->get_future();
    asio::post(context,
               [done, function = std::move(function)]() mutable { done->set_value(function()); });
    if (future.wait_for(thread_patience) != std::future_status::ready) return {};
    return future.get();
}

std::vector<std::uint8_t> hello() {
    std::vector<std::uint8_t> bytes(4);
    store_u16(bytes.data(), session_state::format);     // The oldest that is read,
    store_u16(bytes.data() + 2, session_state::format); // and the newest.
    return bytes;
}

bool reads_our_format(bytes_view said) {
    return said.size() >= 4 && load_u16(said.data()) <= session_state::format &&
           load_u16(said.data() + 2) >= session_state::format;
}

std::string text_of(bytes_view bytes) {
    return log::escape(std::string(bytes.begin(), bytes.end()));
}

} // namespace

bool give_place(hand_over_channel& to, worker_set<worker>& workers, shared_state& shared,
                const giving_steps& steps, const std::function<void()>& withdraw) {
    const auto begun = std::chrono::steady_clock::now();
    auto& main = workers.first().context();
    const auto asked = to.receive();
    if (!asked || asked->what != kind::hello) return false;
    if (!reads_our_format(asked->bytes)) {
        log::warning("a new process asks for the place of this one, and does not know the format "
                     "of its sessions: this one goes on");
        to.send(kind::refused, std::string_view("it hands its sessions over in a format that this "
                                                "version does not know"));
        return false;
    }
    log::info("process {} takes the place of this one", to.peer_process());
    const auto listening = run_in(main, steps.pause_listeners);
    const auto go_on = [&](const char* why) {
        shared.moving = false;
        (void)run_in(main, [&] { return steps.accept_again(), true; });
        log::warning("the hand-over has failed ({}): this process goes on with what is left", why);
        return false;
    };
    if (!listening || !to.send(kind::listeners, {}, *listening)) return go_on("it is gone");
    const auto ready = to.receive();
    if (!ready || ready->what != kind::ready) return go_on("it does not serve");
    shared.moving = true;
    std::size_t given = 0;
    bool lost = false;
    for (const auto& each : workers) {
        const auto at = each.get();
        const auto ids = run_in(at->context(), [at] { return at->sessions(); });
        if (!ids) return go_on("a thread does not answer");
        for (const auto& id : *ids) {
            const auto gone =
                run_in(at->context(), [at, id, &to, &lost] { return at->give(id, to, lost); });
            if (gone && *gone) ++given;
            if (!gone || lost) return go_on("it is gone");
        }
    }
    withdraw();
    if (!to.send(kind::done) || !to.receive()) return go_on("it is gone");
    const auto took = std::chrono::steady_clock::now() - begun;
    log::info("{} sessions have gone to process {} in {:.1f} ms; this one ends", given,
              to.peer_process(), std::chrono::duration<double, std::milli>(took).count());
    const int heir = to.peer_process();
    (void)run_in(main, [&] { return steps.give_place(heir), true; });
    return true;
}

std::vector<int> ask_for_place(hand_over_channel& from) {
    auto answer = from.send(kind::hello, hello()) ? from.receive() : std::nullopt;
    if (answer && answer->what == kind::listeners) return answer->descriptors.take_all();
    throw std::runtime_error("the process that serves here does not hand its place over: " +
                             (answer && !answer->bytes.empty()
                                  ? text_of(answer->bytes)
                                  : std::string("it has not answered")));
}

void take_place(hand_over_channel& from, worker_set<worker>& workers, shared_state& shared) {
    std::size_t taken = 0;
    const auto refuse = [&](std::string_view why) { return from.send(kind::refused, why); };
    from.send(kind::ready);
    while (auto given = from.receive()) {
        if (given->what == kind::done) {
            from.send(kind::done);
            shared.moving = false;
            log::info("this process has the place of process {}, {} sessions with it",
                      from.peer_process(), taken);
            return;
        }
        if (given->what != kind::session) break;
        std::error_code why;
        const auto state = decode_state(given->bytes, session_crypto(), why);
        if (!state) {
            log::warning("a session is not taken over: {}", why.message());
            refuse(why.message());
            continue;
        }
        const auto least =
            std::min_element(workers.begin(), workers.end(),
                             [](const auto& a, const auto& b) { return a->load() < b->load(); });
        const auto at = least->get();
        const auto here = run_in(
            at->context(), [&] { return at->take_over(*state, std::move(given->descriptors)); });
        if (here && *here) {
            ++taken;
            from.send(kind::taken);
        } else {
            refuse("its user is not known there");
        }
    }
    shared.moving = false;
    log::warning("the process whose place is taken has gone before it was done; {} of its sessions "
                 "are here",
                 taken);
}

} // namespace muxsocks::server
