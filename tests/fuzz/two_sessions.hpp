#pragma once

/// \file
/// A client's and a server's session back to back over some links, on one scripted clock that jumps
/// to the next thing that happens. Their users record everything.

#include "tests/session_sim/endpoint.hpp"

#include <memory>

#include <string>

namespace muxsocks::fuzz {

using session_sim::endpoint;
using session_sim::require;
using session_sim::stream_user;
using sim::pipe;

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
    explicit two_sessions(const session_settings& for_both);

    /// Settings that agree with one another, with test cryptography.
    static session_settings default_settings();

    instant now{std::chrono::hours(1)};
    chunk_pool client_pool;
    chunk_pool server_pool;
    recording_user client_user;
    recording_user server_user;
    endpoint client;
    endpoint server;
    struct line {
        link_number number = 0;
        pipe up{{}};
        pipe down{{}};
    };
    std::deque<std::unique_ptr<line>> lines;

    /// A first link, until both sides are established.
    void establish();
    /// Both sides notice that the link is gone; nothing on its way arrives.
    void cut(std::size_t which);
    /// A further link, whose JOIN has come to the server. Returns whether that took it.
    bool join();
    /// Moves up to so many bytes of the link from one side to the other.
    void move(std::size_t which, bool up, std::size_t sent, std::size_t received);

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
    line& add_line(link_number number);

    static constexpr std::size_t everything = 1 << 30;
};

} // namespace muxsocks::fuzz
