#pragma once

/// \file
/// The property test: one run of one seed. A client and a server with random settings carry random
/// streams over one to four links at a time that are cut at any byte, swallow what is sent, are
/// given up by one side alone, or join while others stand; bulk and small frames move between them.
/// Whatever happens, no byte may be lost, doubled or reordered inside a stream that was not visibly
/// reset, every stream ends, and nothing is held at the end.

#include "tests/session_sim/player.hpp"
#include "tests/session_sim/tally.hpp"

#include <memory>

namespace muxsocks::session_sim {

class world {
  public:
    world(std::uint64_t seed, bool with_cuts, broken_rule broken);

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
        client_side* from = nullptr;
        link_number number = 0;
        instant accepted_until{};
        bool elsewhere = false; ///< Whether it leads to a server that has no sessions.
        bool accepted = false;  ///< Whether its first frame has been read.
        bool whole = true;      ///< Whether nothing has happened to it.
    };
    struct side {
        virtual ~side() = default;
        side(const session_settings& settings, std::uint64_t seed, instant now)
            : user(settings.side, seed), end(settings, user, now) {
            user.core = &end.core();
        }
        player user;
        endpoint end;
        instant linger_until{};
        std::optional<instant> alone_since;
    };
    struct client_side : side {
        using side::side;
        instant dial_at{};
        server_side* peer = nullptr;
        std::size_t parts_judged = 0;
        bool retired = false;
        bool orderly = false;    ///< Whether it closed in good order.
        bool said_close = false; ///< Whether CLOSE has gone out on a link that is whole.
        bool knows_end = false;  ///< Whether the server has told that the session is over.
    };
    struct server_side : side {
        using side::side;
        client_side* peer = nullptr;
        bool expired = false;
        bool gone_away = false;
        bool left_alone = false; ///< Whether it ended only because nobody would come back.
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
    void check_reset(const part& p, const part* peer, const side& of) const;
    void check_closed(const side& of) const;
    void count();

    // world_links.cpp
    void start_client();
    link& dial(client_side& from);
    bool mind(side& one);
    bool mind_client(client_side& c);
    bool mind_server(server_side& s);
    bool mind_link(link& l);
    bool mind_closed(side& one, client_side* client);
    void accept_hello(link& l);
    void accept_join(link& l);
    void refuse_join(link& l, join_failure why);
    void join(client_side& c);
    void draw_roles(side& one);
    void cut_something();
    void break_off(link& l);
    void hand_over(side& one);
    void forget_links();
    void close_pipes(const link_end& end);
    client_side* active_client();
    link* link_of(const link_end& end);

    plan plan_;
    random_source random_;
    instant now_{std::chrono::hours(1)};
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
    tally tally_;
};

} // namespace muxsocks::session_sim
