#pragma once

/// \file
/// What muxsocks-client is told: the values of client.json, with the command line's on top.
///
/// A `config` that load_config has returned is complete and checked: every file it names could be
/// read, every secret was resolved, and what would be unsafe (listening beyond loopback for anyone)
/// was refused. What each key means for a user stands in docs/CONFIGURATION.md, which a test
/// compares with the schema in config.cpp.

#include "client/direct_rules.hpp"
#include "client/via.hpp"
#include "protocol/program/settings.hpp"
#include "protocol/program/status_settings.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks {
struct command_line;
struct config_origin;
struct key_info;
} // namespace muxsocks

namespace muxsocks::client {

/// Someone who may use the client's port. Name and password have 1 to 255 bytes; who comes by a
/// unix-domain socket may be known by the user id instead.
struct socks_user {
    std::string name;
    std::string password; ///< Empty: none, there is a uid.
    std::optional<std::uint32_t> uid{};

    bool operator==(const socks_user&) const = default;
};

/// `via` as it was asked for.
struct via_choice {
    enum class kind : std::uint8_t { general, none, environment, proxy };

    kind what = kind::general;
    via_proxy proxy{};

    bool operator==(const via_choice&) const = default;
};

/// One muxsocks-server.
struct server_entry {
    host_port address;
    /// The lowest number is used first (RFC 2782).
    std::uint32_t priority = 0;
    /// The share of new links among servers of one priority. At least 1.
    std::uint32_t weight = 1;
    /// Replaces tls.server_name for this server. Empty: tls.server_name.
    std::string server_name{};
    via_choice asked_via{};
    /// The proxy that its links are dialled through, which follows from that. None: no proxy.
    std::optional<via_proxy> via{};

    bool operator==(const server_entry&) const = default;
};

/// Who the client is for the server. Without a digest it authenticates with method 0 (none).
struct auth_settings {
    std::string user;
    /// SHA-256 of the token, which is all that authentication needs of it (docs/PROTOCOL.md).
    std::optional<sha256_digest> token_sha256;

    bool operator==(const auth_settings&) const = default;
};

/// UDP ASSOCIATE of applications.
struct udp_settings {
    bool enabled = true;
    /// IP addresses, of each family one: where applications are told to send to. Empty: the address
    /// that they have connected to.
    std::vector<std::string> advertise;
    /// What the sockets for applications are bound to. Nothing: any port.
    std::optional<port_range> ports;
    /// What has waited for longer in the kernel's buffer is dropped.
    std::chrono::milliseconds max_delay{200};
    /// No key of its own: timeouts.udp_idle.
    std::chrono::milliseconds idle{300'000};

    bool operator==(const udp_settings&) const = default;
};

struct config {
    std::vector<listen_address> listen{{{"127.0.0.1", 1080}, true}, {{"::1", 1080}, true}};
    /// Whether listening beyond loopback without users was asked for in so many words.
    bool open_listener = false;
    /// Empty: nobody has to log in.
    std::vector<socks_user> users;
    /// Where browsers reach the client, "host" or "host:port", for /proxy.pac. Empty: where the
    /// request for it came.
    std::string pac_host;
    /// At least one; `server` in the file is a list of one.
    std::vector<server_entry> servers;
    /// For servers that have nothing of their own.
    via_choice via;
    /// Sessions to hold at the same time, to each server.
    std::uint32_t sessions = 1;
    /// Age at which a link takes no new streams and another one takes over. Zero: off.
    std::chrono::milliseconds link_max_age{0};
    /// What the client dials itself.
    std::vector<direct_rule> direct;
    udp_settings udp;
    auth_settings auth;
    client_tls_settings tls;
    link_settings link;
    resume_settings resume;
    keepalive_settings keepalive;
    tcp_keepalive_settings tcp_keepalive;
    memory_settings memory;
    timeout_settings timeouts;
    /// Whether the server may be a version 1 peer.
    bool allow_v1 = false;
    std::uint32_t threads = 1;
    status_settings status;
    log_settings log;

    bool operator==(const config&) const = default;

    /// Whether links made with the one are as good as links made with the other.
    bool same_links(const config& other) const {
        return auth == other.auth && tls == other.tls && link == other.link &&
               resume == other.resume && keepalive == other.keepalive && memory == other.memory &&
               allow_v1 == other.allow_v1 && udp.enabled == other.udp.enabled;
    }
};

struct loaded_config {
    config settings;
    /// Full sentences for the log: what is allowed but should be known.
    std::vector<std::string> warnings;
};

/// Reads the file that the command line names or that is found (command_line.hpp), lays the command
/// line's flags over it, and checks the whole. Throws config_error with one sentence. Also called
/// for a reload; the configuration in force stays as it is when this throws.
[[nodiscard]] loaded_config load_config(const command_line& line);

/// The same for a text. `origin` names it in errors and says where relative paths start.
[[nodiscard]] loaded_config parse_config(const std::string& text, const config_origin& origin,
                                         const command_line& line);

/// Every key of client.json, in the order of the documentation.
[[nodiscard]] std::vector<key_info> config_keys();

} // namespace muxsocks::client
