#pragma once

/// \file
/// Where a program tells what it does: `status` in the configuration. By default a unix socket that
/// only the program's own user can open; TCP where it is asked for, and beyond loopback with a
/// token only.

#include "protocol/program/settings.hpp"

#include <optional>
#include <string>
#include <vector>

namespace muxsocks {

class config_section;
enum class program_role;

/// "unix:/run/muxsocks/x.sock", or an address. One of the two is there.
struct status_address {
    std::string path;
    std::optional<host_port> tcp;

    bool operator==(const status_address&) const = default;
};

[[nodiscard]] std::string to_string(const status_address& address);

struct status_settings {
    /// Nothing: the default, a socket in the folder for such things, if there is one. Empty: none.
    std::optional<std::vector<status_address>> listen;
    /// Holds what a reader has to show over TCP. Empty: nothing.
    std::string token_file;
    /// SHA-256 of that.
    std::optional<sha256_digest> token;
    /// Host names by which the listener may be asked for, besides addresses and "localhost".
    std::vector<std::string> names;

    bool operator==(const status_settings&) const = default;
};

void bind_status(config_section& root, status_settings& status);

/// What is unsafe, as the end of a sentence that begins with the file's name.
[[nodiscard]] std::optional<std::string> status_fault(const status_settings& status);

/// muxsocks-client.sock or muxsocks-server.sock in $RUNTIME_DIRECTORY, else in $XDG_RUNTIME_DIR;
/// nothing if neither is set.
[[nodiscard]] std::optional<std::string> default_status_socket(program_role role);

/// Where a program that runs with these settings is asked: what `status.listen` names first, else
/// the default sockets, those of the services included. At least one.
[[nodiscard]] std::vector<status_address> status_addresses_to_ask(program_role role,
                                                                  const status_settings& status);

} // namespace muxsocks
