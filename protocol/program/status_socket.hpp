#pragma once

/// \file
/// The socket of the status listener, and who is at its other end. A socket file that nobody
/// answers on is replaced; one that another process answers on is not.

#include "protocol/program/status_settings.hpp"

#include <optional>
#include <string>

namespace muxsocks {

/// A listening descriptor, not blocking; a unix socket's file is its user's alone (0600). Throws
/// std::runtime_error with a sentence.
[[nodiscard]] int open_status_socket(const status_address& address);

/// Removes the file of a socket that was closed, unless somebody else listens there meanwhile.
void remove_status_socket(const status_address& address);

/// Whether the process at the other end of a unix socket is root's or of this process's user.
[[nodiscard]] bool is_own_user(int descriptor);

/// One question, for commands in a terminal: the body of the answer, or nothing if nobody listens
/// there. Throws std::runtime_error with what was answered instead. `token`: for TCP.
[[nodiscard]] std::optional<std::string> ask_status(const status_address& address,
                                                    const std::string& method,
                                                    const std::string& target,
                                                    const std::string& token);

} // namespace muxsocks
