#pragma once

/// \file
/// How a running process gives its place to a new one: a unix socket in the runtime folder, over
/// which listeners and sessions go with their descriptors. What is in the messages is for the
/// programs.
///
///     new                                old
///      | hello: formats, whose place ---->|  refused, if it has none of them, or does not stop
///      |<-------- listeners: descriptors  |  it accepts on
///      | ready -------------------------->|  its threads stand still
///      |<-------- session: state, sockets |  which are still its own
///      |<-- connection: state, its socket |  one that has no stream yet
///      |              ...                 |
///      |<------- program: its own state   |  if it has any
///      |<---------------------------- all |
///      | taken: which it cannot have ---->|  all is made of them, and no socket was touched yet
///      |<-------------------------- yours |  from here on they are the new one's
///      | serving ------------------------>|  only now the old one lets go of them
///
/// Until "yours" all of it is the old one's, which goes on as if nothing had been if the new one
/// fails; so it does if the new one dies, or says nothing, before "serving", which cannot be sent
/// any more then. If the old one dies, without "refused", the new one has what has come. All calls
/// wait, for five seconds at most: they are for threads, or moments, that may. Nothing goes through
/// a file.

#include "protocol/byte_order.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/descriptor_list.hpp"

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace muxsocks {

class hand_over_channel {
  public:
    enum class kind : std::uint8_t {
        hello,
        listeners,
        ready,
        session,
        all,
        taken,
        yours,
        refused,
        connection,
        serving,
        program,
    };
    struct message {
        kind what = kind::refused;
        std::vector<std::uint8_t> bytes;
        descriptor_list descriptors;
    };

    explicit hand_over_channel(int descriptor);
    hand_over_channel(hand_over_channel&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)),
          peer_(other.peer_),
          peer_process_(std::exchange(other.peer_process_, -1)) {}
    hand_over_channel& operator=(hand_over_channel&&) = delete;
    ~hand_over_channel();
    /// To who listens there; nothing if nobody of the same user does.
    static std::optional<hand_over_channel> connect(const std::string& path);

    /// False if the other side is gone.
    bool send(kind what, bytes_view bytes = {}, std::span<const int> descriptors = {});
    bool send(kind what, std::string_view text);
    /// Nothing if the other side is gone, says nothing, or sends what is no message.
    std::optional<message> receive();
    /// Nothing can be sent to this side any more; nothing is waited for. What had come before, if
    /// anything.
    std::optional<message> stop_receiving();
    /// Its id; 0 if it is in a namespace that cannot be seen from here.
    int peer_process() const { return peer_.pid; }
    /// Whether the same user runs it.
    bool peer_is_ours() const;
    /// Whether it is known to have ended; one that is about to is waited for.
    bool peer_has_ended() const;

  private:
    int descriptor_;
    ::ucred peer_{};
    int peer_process_ = -1; ///< A descriptor of the process (pidfd_open(2)), or -1.
};

/// Where whoever listens on the addresses offers its hand-over: in $RUNTIME_DIRECTORY, else in
/// $XDG_RUNTIME_DIR. Empty where there is neither.
std::string hand_over_path(program_role role, std::span<const listen_address> listening);

/// A name in the abstract namespace, where there is no folder: who stops gives its listening
/// sockets there, and nothing that is secret.
std::string stopping_name(program_role role, std::span<const listen_address> listening);

/// Waits in a thread of its own for a new process of the same user.
class hand_over_offer {
  public:
    /// Called in that thread. Returns whether the place was given, after which nobody is waited
    /// for, and the name is the new process's.
    using give = std::function<bool(hand_over_channel& to)>;

    /// Whoever had the name before has it no more, but for one in the abstract namespace. A folder
    /// that cannot be used is said in the log.
    hand_over_offer(std::string path, give function);
    ~hand_over_offer();
    /// Whether it can be found.
    [[nodiscard]] bool offered() const { return listening_ >= 0; }
    /// Another name, in the same folder, after a reload. Any thread.
    void move_to(const std::string& path);

  private:
    void wait(const give& function);
    void withdraw();

    std::mutex mutex_;
    std::string path_;
    int listening_ = -1;
    ::ino_t inode_ = 0; ///< Of the name.
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

} // namespace muxsocks
