#pragma once

/// \file
/// Both sides of a hand-over, step by step (the messages are in protocol/program/hand_over.hpp).
/// What a session is, and what of a program's state goes with it, is the program's business.

#include "protocol/program/descriptor_store.hpp"
#include "protocol/program/hand_over.hpp"
#include "protocol/program/service.hpp"
#include "protocol/program/stopped_threads.hpp"
#include "protocol/session/state.hpp"

#include <set>

namespace muxsocks {

/// The sessions of a process whose place is taken. Each call comes in the thread that it names;
/// nothing else happens in any thread from the first save() to the last call.
class giving_sessions {
  public:
    /// One session's bytes and sockets. False if the new process is gone: no more of them.
    using send = std::function<bool(bytes_view state, std::span<const int> sockets)>;
    /// Nothing changes here.
    virtual void save(std::size_t thread, const send& one) = 0;
    /// All that was saved is the new process's, but for `refused`: numbers of sessions, from 0, in
    /// the order in which all threads have saved them.
    virtual void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) = 0;

  protected:
    ~giving_sessions() = default;
};

/// In a thread that may wait. Whether the place was given; if not, this process goes on as if
/// nothing had been.
bool give_place(hand_over_channel& to, service& frame, std::span<asio::io_context* const> threads,
                giving_sessions& sessions);

/// The same with the service manager for the new process (protocol/program/descriptor_store.hpp),
/// which comes later. Otherwise this process drains.
bool store_place(service& frame, std::span<asio::io_context* const> threads,
                 giving_sessions& sessions);

/// A session as it has come: not this process's yet.
struct received_session {
    session_state state;
    descriptor_list sockets;
};

/// A process whose place is taken: one that runs, or one that has ended and left it with the
/// service manager.
class predecessor {
  public:
    /// Nothing if there is nobody, or it dies. Throws std::runtime_error with a sentence if it
    /// refuses.
    static std::optional<predecessor> find(program_role role,
                                           std::span<const listen_address> listening);

    static std::optional<predecessor> find_stored();

    /// Its listening sockets, the caller's.
    std::vector<inherited_listener> take_listeners() { return std::exchange(listening_, {}); }
    /// Once this process can serve: the sessions. `may_be_here` says of each whether this process
    /// can go on with it. Throws std::runtime_error with a sentence if the other one goes on after
    /// all.
    std::vector<received_session>
    take_sessions(const std::function<bool(const session_state&)>& may_be_here);

  private:
    int process() const { return from_->peer_process(); }
    std::vector<received_session>
    take_stored(const std::function<bool(const session_state&)>& may_be_here);

    explicit predecessor(stored_place stored)
        : listening_(std::move(stored.listening)), stored_(std::move(stored.sessions)) {}
    predecessor(hand_over_channel from, std::vector<inherited_listener> listening)
        : from_(std::move(from)), listening_(std::move(listening)) {}

    std::optional<hand_over_channel> from_;
    std::vector<inherited_listener> listening_;
    std::vector<stored_place::session> stored_;
};

} // namespace muxsocks
