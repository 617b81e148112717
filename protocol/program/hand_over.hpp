#pragma once

/// \file
/// How a running process gives its place to a new one: a unix socket in the runtime folder, over
/// which listeners and sessions go with their descriptors. What is in the messages is for the
/// programs.
///
///     new                                old
///      | hello: formats, version -------->|  it goes on as it is if it does not know them
///      |<-------- listeners: descriptors  |  it accepts no more
///      | ready -------------------------->|
///      |<-------- session: its state, its sockets, which it does not touch from here on
///      | taken, or refused: why --------->|  its links end; or it goes on with the session
///      |              ...                 |
///      |<-------------------------- done  |  the socket's name is free
///      | done --------------------------->|  it ends
///
/// Whoever loses the other keeps what it has. All calls wait, for five seconds at most: they are
/// for threads, or moments, that may. Nothing goes through a file.

#include "protocol/byte_order.hpp"
#include "protocol/program/command_line.hpp"

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace muxsocks {

/// Open descriptors; those that nobody has taken are closed.
class descriptor_list {
  public:
    descriptor_list() = default;
    descriptor_list(descriptor_list&& other) noexcept;
    descriptor_list& operator=(descriptor_list&& other) noexcept;
    ~descriptor_list();

    void add(int descriptor) { all_.push_back(descriptor); }
    std::size_t size() const { return all_.size() - taken_; }
    /// The next one, the caller's from here on; -1 when there is none.
    int take() { return taken_ < all_.size() ? all_[taken_++] : -1; }
    /// Those that are left, the caller's.
    std::vector<int> take_all();

  private:
    std::vector<int> all_;
    std::size_t taken_ = 0;
};

class hand_over_channel {
  public:
    enum class kind : std::uint8_t { hello, listeners, ready, session, taken, refused, done };
    struct message {
        kind what = kind::refused;
        std::vector<std::uint8_t> bytes;
        descriptor_list descriptors;
    };

    explicit hand_over_channel(int descriptor);
    hand_over_channel(hand_over_channel&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)) {}
    hand_over_channel& operator=(hand_over_channel&&) = delete;
    ~hand_over_channel();
    /// To who listens there; nothing if nobody does.
    static std::optional<hand_over_channel> connect(const std::string& path);

    /// False if the other side is gone.
    bool send(kind what, bytes_view bytes = {}, std::span<const int> descriptors = {});
    bool send(kind what, std::string_view text);
    /// Nothing if the other side is gone, or sends what is no message.
    std::optional<message> receive();
    int peer_process() const;

  private:
    int descriptor_;
};

/// Where whoever listens on the addresses offers its hand-over: in $RUNTIME_DIRECTORY, else in
/// $XDG_RUNTIME_DIR. Empty where there is neither.
std::string hand_over_path(program_role role, std::span<const listen_address> listening);

/// Waits in a thread of its own for a new process of the same user, or of root.
class hand_over_offer {
  public:
    /// Called in that thread. Returns whether the place was given, after which nobody is waited
    /// for; withdraws the offer before it says that it is done.
    using give = std::function<bool(hand_over_channel& to, hand_over_offer& offer)>;

    /// A folder that cannot be used is said in the log.
    hand_over_offer(std::string path, give function);
    ~hand_over_offer();
    /// The name is free for the next one.
    void withdraw();

  private:
    void wait(const give& function);

    std::string path_;
    int listening_ = -1;
    std::atomic<bool> named_{false};
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

} // namespace muxsocks
