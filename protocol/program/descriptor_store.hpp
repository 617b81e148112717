#pragma once

/// \file
/// A place that waits for its next process: what the service manager keeps while the service is
/// restarted (systemd: FileDescriptorStoreMax=, sd_pid_notify_with_fds(3)). The states of the
/// sessions and the names of the listening sockets are in a memfd, which is never a file; sockets
/// are named there by their cookies (SO_COOKIE), since the manager promises no order.
///
///     "muxsocks store\0\0" | format u16
///     1 u8 | cookie u64 | length u32 | name                            a listening socket
///     2 u8 | sockets u32 | cookies u64 ... | length u32 | state        a session
///     3 u8 | sockets u32 | cookies u64 ... | length u32 | state        a connection without stream
///     0 u8                                                             the end
///
/// All big-endian.

#include "protocol/byte_order.hpp"
#include "protocol/program/descriptor_list.hpp"
#include "protocol/program/listen.hpp"
#include "protocol/program/service_manager.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace muxsocks {

/// What goes from process to process besides listening sockets.
enum class handed_piece : std::uint8_t {
    session,    ///< encode(session_state), with the sockets of its streams.
    connection, ///< Of an application, without a stream: what its program needs, and its socket.
};

struct stored_place {
    struct piece {
        handed_piece what = handed_piece::session;
        std::vector<std::uint8_t> state;
        descriptor_list sockets;
    };

    /// What the manager has passed to this process; nothing if it has kept nothing. What cannot be
    /// read is said in the log, and closed.
    static std::optional<stored_place> find();

    /// From the bytes of a store and the descriptors that came with it; nothing if it is none.
    static std::optional<stored_place> read(bytes_view bytes, std::vector<int> sockets);

    /// The caller's.
    std::vector<inherited_listener> listening;
    std::vector<piece> pieces;
};

/// Puts a place together.
class place_writer {
  public:
    place_writer();
    ~place_writer();
    place_writer(const place_writer&) = delete;
    place_writer& operator=(const place_writer&) = delete;

    void add(const inherited_listener& listening);
    /// The descriptors stay the caller's, and open until send() has returned.
    void add(handed_piece what, bytes_view state, std::span<const int> sockets);
    /// Whether the manager has it. From here on whoever closes these sockets last resets their
    /// connections: they have no good end if nobody comes for them.
    bool send(service_manager& to);
    [[nodiscard]] std::size_t sessions() const { return sessions_; }

  private:
    void put(bytes_view bytes);
    void put(std::uint8_t type, std::span<const int> sockets);

    int memory_;
    bool whole_ = true; ///< Whether all could be written.
    std::vector<int> listening_;
    std::vector<int> connected_;
    std::size_t sessions_ = 0;
};

} // namespace muxsocks
