#pragma once

/// \file
/// A client's and a server's session back to back, on one scripted clock that jumps to the next
/// thing that happens, for tests that tell a story. Their users record everything.

#include "tests/sim/endpoint.hpp"

#include <string>

namespace muxsocks::sim {

/// A stream as its owner sees it.
struct conversation {
    stream* s = nullptr; ///< None once released.
    std::string received;
    bool ended = false;     ///< Whether the peer's end was seen.
    std::error_code reset;  ///< Why it was reset, if it was.
    bool reading = true;    ///< Whether the local socket takes what arrives.
    std::string to_send;    ///< What the local socket still has to give.
    bool end_after = false; ///< Whether its end follows.
};

class recording_user final : public stream_user {
  public:
    session* core = nullptr;
    std::deque<conversation> streams; ///< In the order of their begin.
    std::vector<event::kind> events;
    std::size_t reads = 0;

    void on_event(const event& what) override;
    read_result read(const read_slot& slot) override;

    conversation& open(std::string_view request);
    void send(conversation& c, std::string_view bytes, bool end = false);
    /// Takes what is unread, as a socket that has become writable would.
    void take(conversation& c);
    void resume_reading(conversation& c);
    void release(conversation& c);
    bool saw(event::kind type) const;
};

class two_sessions {
  public:
    explicit two_sessions(session_settings for_both = default_settings());
    two_sessions(session_settings for_client, session_settings for_server);

    /// Settings that agree with one another, with test cryptography.
    static session_settings default_settings();

    instant now{std::chrono::hours(1)};
    chunk_pool client_pool;
    chunk_pool server_pool;
    recording_user client_user;
    recording_user server_user;
    endpoint client;
    endpoint server;
    pipe up{{}};
    pipe down{{}};

    /// A new link; the client's HELLO is due.
    void connect(const pipe::script& script_up = {}, const pipe::script& script_down = {});
    /// connect() until both sides are established.
    void establish(const pipe::script& script_up = {}, const pipe::script& script_down = {});
    /// Both sides notice that the link is gone; nothing on its way arrives.
    void cut();
    /// A new link, and RESUME with its answer over it at once. What is on its way on the old one
    /// is lost. Returns whether the session goes on.
    bool resume(const pipe::script& script_up = {}, const pipe::script& script_down = {});

    /// Lets time pass until the condition holds; false if nothing more happens or `limit` is over.
    template <typename Condition>
    bool run_until(Condition condition, duration limit = std::chrono::minutes(10)) {
        const auto end = now + limit;
        while (!condition())
            if (!step(end)) return false;
        return true;
    }
    void run_for(duration time) {
        const auto end = now + time;
        while (step(end)) {
        }
        now = end;
    }
    /// Everything that happens without time passing.
    void run() { run_for(duration(0)); }

  private:
    bool step(instant end);
    bool move();

    static constexpr std::size_t everything = 1 << 30;
};

} // namespace muxsocks::sim
