#pragma once

/// \file
/// Both sides of a hand-over, step by step (the messages are in protocol/program/hand_over.hpp).
/// What a session is, and what of a program's state goes with it, is the program's business.

#include "protocol/program/descriptor_store.hpp"
#include "protocol/program/hand_over.hpp"
#include "protocol/program/service.hpp"
#include "protocol/program/stopped_threads.hpp"
#include "protocol/session/state.hpp"

#include <memory>
#include <set>
#include <thread>

namespace muxsocks {

/// What a process whose place is taken has. All its threads stand still from the first save() to
/// the last call; the calls come in another one.
class giving_sessions {
  public:
    /// One piece and its sockets. False if the new process is gone: no more of them.
    using send =
        std::function<bool(handed_piece what, bytes_view state, std::span<const int> sockets)>;
    virtual ~giving_sessions() = default;
    /// Nothing changes here.
    virtual void save(std::size_t thread, const send& one) = 0;
    /// Behind all save(), for a process that runs: what is the whole program's, if anything.
    virtual std::vector<std::uint8_t> save_program() { return {}; }
    /// All that was saved is the new process's, but for `refused`: numbers of sessions, from 0, in
    /// the order in which all threads have saved them.
    virtual void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) = 0;
};

/// In a thread that may wait. Whether the place was given; if not, this process goes on as if
/// nothing had been. Without `sessions` the listening sockets go, of a process that stops.
bool give_place(hand_over_channel& to, service& frame, std::span<asio::io_context* const> threads,
                giving_sessions* sessions);

/// The same with the service manager for the new process (protocol/program/descriptor_store.hpp),
/// which comes later. Otherwise this process drains.
bool store_place(service& frame, std::span<asio::io_context* const> threads,
                 giving_sessions& sessions);

/// What a process that runs does for those that come after it.
class succession {
  public:
    /// `sessions` makes what is given, each time anew; all of it outlives this.
    succession(program_role role, service& frame, std::vector<asio::io_context*> threads,
               std::function<std::unique_ptr<giving_sessions>()> sessions)
        : role_(role),
          frame_(frame),
          threads_(std::move(threads)),
          sessions_(std::move(sessions)) {}
    ~succession();

    /// To a new process that takes the place of this one, from the moment on when this one serves.
    void offer(std::span<const listen_address> listening);
    /// Once this process stops: where nobody can find the offer, at least the port is to be free
    /// for a new one.
    void on_stopping(std::span<const listen_address> listening);
    /// After a reload; nothing before offer().
    void move_to(std::span<const listen_address> listening);
    /// As service::program::store().
    void store();

  private:
    program_role role_;
    service& frame_;
    std::vector<asio::io_context*> threads_;
    std::function<std::unique_ptr<giving_sessions>()> sessions_;
    std::unique_ptr<hand_over_offer> offer_;
    std::thread storing_;
};

/// What a new process makes of what it gets.
class taking_sessions {
  public:
    /// Whether the session goes on here; if not, the sockets stay the caller's. Until take() of the
    /// predecessor has returned no socket is touched: it may still be another process's.
    virtual bool take(const session_state& state, descriptor_list& sockets) = 0;
    virtual void take_connection(bytes_view, descriptor_list) {}
    /// As giving_sessions::save_program() has it; from a process that runs.
    virtual void take_program(bytes_view) {}
    /// The other process goes on: all of it is let go of, without a word to anyone.
    virtual void give_back() = 0;

  protected:
    ~taking_sessions() = default;
};

/// A process whose place is taken: one that runs, or one that has ended and left it with the
/// service manager.
class predecessor {
  public:
    /// Nothing if there is nobody, or it dies. Throws std::runtime_error with a sentence if it
    /// refuses.
    static std::optional<predecessor> find_running(program_role role,
                                                   std::span<const listen_address> listening);
    /// One that runs, if the command line asks for that, one that stops, or one that the service
    /// manager has kept something of.
    static std::optional<predecessor> find(program_role role, const command_line& line,
                                           std::span<const listen_address> listening);

    /// One that only ends what it has. Nothing if there is none; never throws.
    static std::optional<predecessor> find_stopping(program_role role,
                                                    std::span<const listen_address> listening);
    /// Nothing where the service manager has kept nothing.
    static std::optional<predecessor> find_stored();

    /// Its listening sockets, the caller's.
    std::vector<inherited_listener> take_listeners() { return std::exchange(listening_, {}); }
    /// Once this process can serve, and before its threads run: all the rest. Throws
    /// std::runtime_error with a sentence if the other one goes on after all.
    void take(taking_sessions& to);

  private:
    int process() const { return from_->peer_process(); }
    void take_stored(taking_sessions& to);

    explicit predecessor(stored_place stored)
        : listening_(std::move(stored.listening)), stored_(std::move(stored.pieces)) {}
    predecessor(hand_over_channel from, std::vector<inherited_listener> listening)
        : from_(std::move(from)), listening_(std::move(listening)) {}

    std::optional<hand_over_channel> from_;
    std::vector<inherited_listener> listening_;
    std::vector<stored_place::piece> stored_;
};

} // namespace muxsocks
