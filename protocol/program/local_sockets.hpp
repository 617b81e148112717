#pragma once

/// \file
/// Listening sockets that are no port of this host: unix-domain sockets, and those that the service
/// manager has opened (systemd.socket(5), sd_listen_fds(3)).

#include "protocol/program/settings.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace muxsocks {

/// A listening, non-blocking descriptor. A path where nobody listens any more is taken over; mode
/// and group are set before anybody can connect. Throws std::runtime_error with a sentence.
int open_unix_listener(const listen_address& at);

/// Gives mode and group to the path of such a socket. Throws std::runtime_error with a sentence.
void set_unix_rights(const listen_address& at);

/// Removes the path of a socket that was closed, unless somebody else listens there meanwhile.
void remove_unix_path(const listen_address& at);

/// A connected, blocking socket; -1 with errno.
int connect_to_unix(const listen_address& at);

/// The descriptors of that name (FileDescriptorName=) that the service manager has passed to this
/// process, and of "", all of them.
std::vector<int> passed_sockets(const std::string& name);

/// What the service manager keeps between two processes, by the names that it was given (see
/// protocol/program/descriptor_store.hpp). No sockets for "systemd:".
inline constexpr std::string_view stored_state_name = "muxsocks-state";
inline constexpr std::string_view stored_socket_name = "muxsocks-socket";
/// As passed_sockets(), the caller's: children do not inherit them.
std::vector<int> passed_descriptors(std::string_view name);

/// A non-blocking copy of a passed one. Throws std::runtime_error with a sentence.
int open_passed_listener(const listen_address& at);

/// Whether the descriptor, a listening one, can be reached from other machines.
bool reaches_beyond_loopback(int descriptor);

/// Who is at the other end of a unix-domain socket; nothing for other sockets.
std::optional<::uid_t> peer_uid(int descriptor);

} // namespace muxsocks
