#pragma once

/// \file
/// The share link: everything that a client needs in one line, for a message or a QR code.
///
///     muxsocks://user:token@host:port?pin=sha256:BASE64#name
///
/// User, token and name are percent-encoded (RFC 3986). A link is a secret: it holds the token.

#include "protocol/program/settings.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// What a link begins with.
inline constexpr std::string_view share_link_scheme = "muxsocks://";

struct share_link {
    std::string user;
    std::string token;
    host_port server;
    std::vector<std::string> pins; ///< As tls.pin_sha256 takes them; none: the system's CAs.
    std::string name;              ///< For people; may be empty.
};

[[nodiscard]] std::string to_string(const share_link& link);

/// The link in the text, which may have more around it: blanks, brackets, or all that `user add`
/// has printed. Throws config_error with a sentence that says what is wrong, never with the token
/// in it.
[[nodiscard]] share_link parse_share_link(std::string_view text);

/// The text of a link's file, which "-" (standard input) is as well. Throws config_error.
[[nodiscard]] std::string read_link_file(const std::string& path);

/// The link in a text that came from `where` (a file, or "$MUXSOCKS_LINK"), which errors name.
[[nodiscard]] share_link parse_share_link(std::string_view text, const std::string& where);

/// The client.json that does what the link says, and no more; listens on `listen` if it is not
/// empty, and uses `servers` in place of the link's one if there are any.
[[nodiscard]] std::string client_config_text(const share_link& link, const std::string& listen = {},
                                             bool open_listener = false,
                                             const std::vector<host_port>& servers = {});

/// What client_config_text has written, read back.
struct client_of_link {
    share_link link; ///< Without a name; its server is the first one.
    std::vector<host_port> servers;
};

/// Nothing if the text is no client.json that a link could stand for: without user and token, or
/// with a token that stands elsewhere.
[[nodiscard]] std::optional<client_of_link> read_client_config(const std::string& text);

} // namespace muxsocks
