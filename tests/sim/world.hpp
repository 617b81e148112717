#pragma once

/// \file
/// The property test: one run of one seed. A client and a server with random settings carry random
/// streams over links that are cut at any byte, swallow what is sent, or are replaced while they
/// stand. Whatever happens, no byte may be lost, doubled or reordered inside a stream that was not
/// visibly reset, every stream ends, and nothing is held at the end.

#include "tests/sim/player.hpp"
#include "tests/sim/session_faults.hpp"
#include "tests/sim/tally.hpp"

#include <memory>

namespace muxsocks::sim {

class world {
  public:
    world(std::uint64_t seed, bool with_cuts, const session_faults& broken = {});

    /// Runs to the end; throws violation.
    void run();
    const tally& counts() const { return tally_; }

  private:
    struct server_side;
    struct client_side;

    struct link {
        link(const pipe::script& script_up, const pipe::script& script_down)
            : up(script_up), down(script_down) {}
        pipe up;
        pipe down;
        std::vector<std::uint8_t> first; ///< Read by the server, which knows no session yet.
        std::array<std::uint8_t, 32> exporter{};
        std::vector<std::uint8_t> resume; ///< RESUME, as far as the pipe has not taken it.
        std::uint64_t received = 0;       ///< By the client, when it made the RESUME.
        client_side* from = nullptr;
        instant accepted_until{};
        bool elsewhere = false; ///< Whether it leads to a server that has no sessions.
        bool accepted = false;  ///< Whether its first frame has been read.
    };
    struct client_side {
        client_side(const session_settings& settings, std::uint64_t seed, instant now)
            : user(role::client, seed), end(settings, user, now) {
            user.core = &end.core;
        }
        player user;
        endpoint end;
        link* current = nullptr;
        link* asking = nullptr;    ///< RESUME is out, no answer yet.
        bool handing_over = false; ///< Whether the old link stood when it went out.
        std::vector<std::uint8_t> answer;
        instant dial_at{};
        instant asking_until{};
        instant linger_until{};
        server_side* peer = nullptr;
        std::size_t parts_judged = 0;
    };
    struct server_side {
        server_side(const session_settings& settings, std::uint64_t seed, instant now)
            : user(role::server, seed), end(settings, user, now) {
            user.core = &end.core;
        }
        player user;
        endpoint end;
        link* current = nullptr;
        instant linger_until{};
        client_side* peer = nullptr;
    };
    struct waiting_stream {
        const stream_plan* what;
        instant opens_at;
    };

    // world.cpp
    bool step();
    void begin_streams();
    void wait(const stream_plan& what, instant opens_at);
    void retry_refused();
    void mishap();
    void jump();
    bool streams_over() const;
    bool quiet() const;
    void check_ends() const;
    void check_pair(const client_side& c, const part& asked) const;
    void check_reset(const part& p, const part* peer, const player& user) const;
    void check_closed(const player& user) const;
    void count();

    // world_links.cpp
    void start_client();
    link& dial(client_side& from);
    bool mind_client(client_side& c);
    bool mind_server(server_side& s);
    bool mind_link(link& l);
    void accept_hello(link& l);
    void accept_resume(link& l);
    void ask(client_side& c, bool elsewhere = false);
    bool hear_answer(client_side& c);
    void close_by_client(link& l);
    void close_by_server(link& l);
    void lose(client_side& c);
    void lose(server_side& s);
    template <typename Side>
    void lose_unnoticed(Side& side);
    void cut_something();
    void forget_links();
    client_side* active_client();

    plan plan_;
    random_source random_;
    instant now_{std::chrono::hours(1)};
    instant idle_since_{};
    unsigned idle_steps_ = 0;
    bool calm_ = false; ///< Whether mishaps are over.
    bool gone_away_ = false;
    unsigned cuts_left_;
    unsigned hand_overs_left_;

    std::unique_ptr<memory_budget> budget_;
    chunk_pool client_pool_;
    chunk_pool server_pool_;
    std::deque<stream_plan> plans_; ///< By number, less 1.
    std::deque<waiting_stream> waiting_;
    std::deque<unsigned> tries_; ///< By number, less 1.
    std::vector<std::unique_ptr<link>> links_;
    std::deque<client_side> clients_;
    std::deque<server_side> servers_;
    session_faults broken_;
    tally tally_;
};

} // namespace muxsocks::sim
