#pragma once

/// \file
/// What happens in one run of the property test, drawn from its seed: the two sides' settings, the
/// streams with what either side does to them, and what the links suffer.

#include "protocol/session/session.hpp"
#include "tests/sim/random.hpp"

#include <optional>

namespace muxsocks::session_sim {

using muxsocks::sim::random_source;

/// What one side does with its end of a stream.
struct side_plan {
    enum class abort_by : std::uint8_t { reset, release, read_error };

    std::uint64_t bytes = 0;                 ///< It sends, behind the request or the reply.
    std::uint64_t burst = 1;                 ///< What its application writes at once, at most.
    std::uint64_t appetite = 1;              ///< What its application takes at once, at most.
    std::optional<std::uint64_t> abort_at{}; ///< Sent and received bytes after which it aborts.
    abort_by abort_how = abort_by::reset;
    std::optional<std::uint64_t> stall_at{}; ///< Received bytes after which it stops reading.
    duration stall_for{0};
    bool waits_for_end = false; ///< Whether its own end comes only after the peer's.
    bool ends_by_finish = false;
};

struct stream_plan {
    std::uint32_t number = 0; ///< In the request; names the stream in the whole run.
    side_plan client;
    side_plan server;
    bool refused = false;    ///< By the server, with a reply.
    bool last_words = false; ///< The server resets it behind its reply.
    duration opens_after{0};
};

struct plan {
    plan(std::uint64_t seed, bool with_cuts, broken_rule broken);

    session_settings client;
    session_settings server;
    std::uint32_t user_streams = 0;
    std::size_t chunk_size = 1024;
    std::size_t process_memory = 0; ///< 0: no bound.

    std::vector<stream_plan> streams;

    // The links.
    std::size_t pipe_capacity = 1;
    duration delay{0};
    std::size_t step_bytes = 1; ///< Read or written at once, at most.
    std::size_t output_max = 1;
    unsigned cuts = 0;                  ///< At most.
    std::uint64_t cut_one_in = 1;       ///< Steps.
    bool swallows = false;              ///< Whether links may go silent.
    unsigned links = 1;                 ///< The client tries to have as many.
    std::uint64_t roles_one_in = 1;     ///< Steps: which link takes what is drawn anew.
    bool twice = false;                 ///< Whether small frames may go by two links.
    duration dial_pause{0};             ///< Of a client without a link, at most.
    duration server_patience{0};        ///< How long the server keeps a session without a link.
    unsigned hand_overs = 0;            ///< At most.
    std::uint64_t hand_over_one_in = 1; ///< Steps.
    bool go_away = false;
    bool close = false;
    bool retire = false; ///< Whether a client ends its session in good order, and begins another.

  private:
    void draw_settings(random_source& random);
    void draw_streams(random_source& random);
    void draw_links(random_source& random, bool with_cuts);
};

/// Byte `offset` of what a side of the stream sends, its request or reply included.
std::uint8_t content(std::uint32_t stream_number, bool to_server, std::uint64_t offset);

inline constexpr std::uint64_t request_size = 8;
inline constexpr std::uint64_t reply_size = 4;

std::array<std::uint8_t, request_size> request_of(const stream_plan& what);
std::array<std::uint8_t, reply_size> reply_of(const stream_plan& what);

} // namespace muxsocks::session_sim
