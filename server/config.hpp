#pragma once

/// \file
/// What muxsocks-server is told: the values of server.json, with the command line's on top.
///
/// A `config` that load_config has returned is complete and checked: every file it names could be
/// read, every secret was resolved, and what would make an open proxy by accident was refused. What
/// each key means for a user stands in docs/CONFIGURATION.md, which a test compares with the schema
/// in config.cpp. Which destinations the rules allow is decided in target_policy.

#include "protocol/program/network.hpp"
#include "protocol/program/settings.hpp"
#include "protocol/program/status_settings.hpp"
#include "server/user_limits.hpp"
#include "server/user_terms.hpp"

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

namespace muxsocks::server {

/// Rules for the address that is dialled, in the order deny, allow, allow_private, built-in
/// denials; `ports` is checked besides.
struct destination_settings {
    std::vector<network> deny;
    std::vector<network> allow;
    /// Whether private, loopback and the server's own addresses may be dialled. Never link-local.
    bool allow_private = false;
    /// Ports that may be dialled. Empty: all.
    std::vector<port_range> ports;

    bool operator==(const destination_settings&) const = default;
};

/// Who may open a session.
struct user {
    std::string name;
    /// SHA-256 of the token, which is all that authentication needs of it (docs/PROTOCOL.md).
    sha256_digest token_sha256{};
    /// Replaces the general rules for this user.
    std::optional<destination_settings> destinations;
    /// What this user may hold: `limits.user` where nothing is said here.
    user_limit_settings limits = no_user_limits();
    user_terms terms{};

    bool operator==(const user&) const = default;
};

enum class ip_preference : std::uint8_t { ipv6, ipv4 };

struct dns_settings {
    /// Hosts are IP addresses. Empty: the system's (/etc/resolv.conf).
    std::vector<host_port> servers;
    std::chrono::milliseconds timeout{5'000};
    /// The address family that is tried first (RFC 8305).
    ip_preference prefer = ip_preference::ipv6;

    bool operator==(const dns_settings&) const = default;
};

struct limit_settings {
    /// Streams of one session at once.
    std::uint32_t streams = 16'384;
    /// Connects to targets at once, and look-ups of names; users share them fairly, and more wait
    /// within timeouts.connect.
    std::uint32_t dials = 1'024;
    std::uint32_t lookups = 256;
    /// Streams that one session may open.
    std::uint32_t opens_per_second = 20'000;
    std::uint32_t opens_burst = 20'000;
    /// Opens that the client gives up before they are answered.
    std::uint32_t incomplete_opens_per_second = 200;
    std::uint32_t incomplete_opens_burst = 1'000;
    /// Resets beyond the streams that ended well; above them the session ends with CLOSE.
    std::uint32_t resets_per_second = 33;
    std::uint32_t resets_burst = 1'000;
    /// Links that have not authenticated yet.
    std::uint32_t unauthenticated = 256;
    std::uint32_t unauthenticated_per_address = 8;
    /// Networks for which nothing is counted by address.
    std::vector<network> exempt;
    /// Of one user, over all sessions.
    user_limit_settings user;

    bool operator==(const limit_settings&) const = default;
};

/// From whom a UDP association takes datagrams, besides what the destination rules say.
enum class udp_filter : std::uint8_t {
    any,       ///< From everybody (RFC 4787: endpoint-independent filtering).
    contacted, ///< From addresses that it has sent to (address-dependent filtering).
};

struct udp_settings {
    bool enabled = true;
    udp_filter filter = udp_filter::any;
    /// Ports that no datagram goes to or comes from.
    std::vector<port_range> deny_ports;
    /// What has waited for longer in the kernel's buffer is dropped.
    std::chrono::milliseconds max_delay{200};
    /// No key of its own: timeouts.udp_idle.
    std::chrono::milliseconds idle{300'000};

    bool operator==(const udp_settings&) const = default;
};

struct proxy_protocol_settings {
    /// Peers that speak PROXY protocol version 2 and whose word for the client's address counts.
    std::vector<network> from;

    bool operator==(const proxy_protocol_settings&) const = default;
};

struct accounting_settings {
    /// Empty: there is no accounting.
    std::string file;
    /// How often it is written while something changes.
    std::chrono::milliseconds every{30'000};

    bool operator==(const accounting_settings&) const = default;
};

struct config {
    std::vector<listen_address> listen;
    server_tls_settings tls;
    std::vector<user> users;
    /// Whether anyone may use this server: asked for in so many words.
    bool open_server = false;
    destination_settings destinations;
    dns_settings dns;
    limit_settings limits;
    udp_settings udp;
    proxy_protocol_settings proxy_protocol;
    /// "host:port" past a balancer; empty: clients dial where they have dialled.
    std::string join_at;
    /// Version 1 peers are accepted from these networks only. They cannot authenticate.
    std::vector<network> allow_v1;
    /// One more than clients use: one that replaces another.
    link_settings link{.max = 4};
    resume_settings resume;
    keepalive_settings keepalive;
    tcp_keepalive_settings tcp_keepalive;
    memory_settings memory;
    timeout_settings timeouts;
    /// Never 0 in a loaded configuration: the default is one a core.
    std::uint32_t threads = 0;
    accounting_settings accounting;
    status_settings status;
    log_settings log;

    bool operator==(const config&) const = default;
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

/// Why a server must not start with this configuration here, or nothing: what depends on who starts
/// it, and not on what it says alone.
[[nodiscard]] std::optional<std::string> start_fault(const config& settings);

/// The same for a text. `origin` names it in errors and says where relative paths start.
[[nodiscard]] loaded_config parse_config(const std::string& text, const config_origin& origin,
                                         const command_line& line);

/// Every key of server.json, in the order of the documentation.
[[nodiscard]] std::vector<key_info> config_keys();

} // namespace muxsocks::server
