#pragma once

/// \file
/// The user of one session in the property test: plays its side of every stream by plan, and checks
/// each byte that it gets.

#include "tests/session_sim/endpoint.hpp"
#include "tests/session_sim/plan.hpp"

#include <functional>
#include <set>

namespace muxsocks::session_sim {

/// One side of one stream.
struct part {
    const stream_plan* what = nullptr; ///< None at the server until the request has come.
    stream* s = nullptr;               ///< None once released.
    std::uint64_t written = 0;         ///< By the application, so far.
    std::uint64_t given = 0;           ///< Of that, given to the session.
    std::uint64_t taken = 0;           ///< Received and checked.
    std::array<std::uint8_t, request_size> head{}; ///< The first bytes received.
    bool listening = true; ///< Whether the session waits to hear that the socket is readable.
    bool end_given = false;
    bool end_seen = false;
    bool aborted = false;
    bool refused = false;
    bool dies = false;                       ///< Whether it was reset behind its last words.
    std::uint64_t had = 0;                   ///< Bytes received when it was reset.
    bool broken_socket = false;              ///< Whether the next read fails.
    std::uint32_t datagrams_made = 0;        ///< Each has a number.
    std::uint32_t datagrams_waiting = 0;     ///< Of these, not yet given to the session.
    std::set<std::uint32_t> datagrams_had{}; ///< The numbers of those that have come.
    std::error_code reset;
    instant stalled_until{};

    bool over() const { return s == nullptr; }
    /// Whether both ends came in the normal way.
    bool clean() const { return over() && end_given && end_seen && !aborted && !reset; }
};

class player final : public stream_user {
  public:
    player(role side, std::uint64_t seed)
        : side_(side), random_(seed), datagram_random_(seed + 1) {}

    session* core = nullptr;
    std::deque<part> parts;
    bool told_to_go = false; ///< Whether the peer takes no new streams.
    bool established = false;
    std::error_code closed;
    bool number_used = false;      ///< Whether a JOIN was refused because its number had been used.
    std::uint32_t streams_max = 0; ///< Client: that the server will announce.
    std::uint64_t limits_reached = 0;
    /// The plan that a request names.
    std::function<const stream_plan*(std::uint32_t number)> find_plan;

    void on_event(const event& what) override;
    read_result read(const read_slot& slot) override;
    std::pair<std::size_t, bool> read_datagram(const datagram_slot& slot) override;
    std::vector<std::uint8_t> owner_of(stream& s) override;
    void adopt(session& at, stream& s, bytes_view owner) override;

    /// Client: begins the stream.
    void open(const stream_plan& what, instant now);
    /// What the applications do meanwhile: each of them if `all`, else some. Returns whether
    /// anything was done.
    bool play(instant now, bool all);
    /// When a stalled application goes on; none if none is stalled.
    std::optional<instant> next_instant() const;
    bool all_over() const;

  private:
    const side_plan& plan_of(const part& p) const {
        return side_ == role::client ? p.what->client : p.what->server;
    }
    bool to_server() const { return side_ == role::client; }
    std::uint64_t head_size() const { return to_server() ? request_size : reply_size; }
    std::uint64_t total(const part& p) const { return head_size() + plan_of(p).bytes; }
    bool may_end(const part& p) const { return !plan_of(p).waits_for_end || p.end_seen; }
    bool stalled(part& p) const;

    bool play(part& p);
    bool write(part& p);
    bool take(part& p);
    bool abort(part& p);
    bool finish(part& p);
    void check(part& p, bytes_view bytes);
    void on_head(part& p);
    void on_end(part& p);
    void make_datagrams(part& p);
    void check_datagram(part& p, bytes_view bytes);
    void release(part& p);

    role side_;
    random_source random_;
    random_source datagram_random_; ///< Of its own: they change no other choice.
    instant now_{};
};

} // namespace muxsocks::session_sim
