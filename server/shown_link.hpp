#pragma once

/// \file
/// What init and user have in common: the server's public address on the command line, and the
/// share link on the terminal.

#include "protocol/program/settings.hpp"
#include "protocol/program/share_link.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace muxsocks::server {

/// The port of clients and server where --host has none.
inline constexpr std::uint16_t default_port = 8443;

/// "example.org", "example.org:443", "192.0.2.1:443", "[2001:db8::1]:443", "2001:db8::1". Throws
/// usage_error for anything that a client could not dial.
[[nodiscard]] host_port parse_public_host(const std::string& text);

/// The client.json that stands beside server.json, as a link and its servers. Nothing if there is
/// none, or it does not hold what a link needs (its token may stand in another file).
[[nodiscard]] std::optional<client_of_link> client_beside(const std::filesystem::path& server_json);

/// A QR code in half blocks, two rows a line, dark on light as scanners want it.
void print_qr(const std::string& text);

} // namespace muxsocks::server
