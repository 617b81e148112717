#pragma once

/// \file
/// The parts of a configuration that the client and the server share, as plain values.
///
/// Every default stands here, as the initializer of its field; the reader, the command line and
/// docs/CONFIGURATION.md all take it from here. The structs compare with ==, so that a reload sees
/// what changed. How they are read is said in settings_schema.cpp, what they mean in
/// docs/CONFIGURATION.md. Zero of a duration that may be switched off means off.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// Of a token, or of a public key (SubjectPublicKeyInfo, RFC 7469 section 2.4). The same type as in
/// protocol/link/tls/crypto.hpp.
using sha256_digest = std::array<std::uint8_t, 32>;

/// "example.org:443", "192.0.2.1:443", "[2001:db8::1]:443".
struct host_port {
    /// A name or an address, IPv6 without brackets. Empty: all addresses (only where one listens).
    std::string host;
    std::uint16_t port = 0;

    bool operator==(const host_port&) const = default;
};

/// "host:port", with brackets around IPv6.
[[nodiscard]] std::string to_string(const host_port& value);

/// Ports from `first` to `last`, both included.
struct port_range {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    bool operator==(const port_range&) const = default;
};

struct listen_address;
/// As it stands in the configuration: "127.0.0.1:1080", "unix:/run/socket".
[[nodiscard]] std::string to_string(const listen_address& value);

/// Protocols that applications may speak to a listener of the client: bits.
struct accepted_protocols {
    static constexpr std::uint8_t socks5 = 1;
    static constexpr std::uint8_t socks4 = 2;
    static constexpr std::uint8_t http = 4;
    static constexpr std::uint8_t all = 7;
    // None at all: connections that the kernel has brought here. Each stands alone.
    static constexpr std::uint8_t redirect = 8; ///< By NAT (REDIRECT).
    static constexpr std::uint8_t tproxy = 16;  ///< As they were (TPROXY).
    static constexpr std::uint8_t transparent = redirect | tproxy;
};

/// Where a program listens. The host is an IP address or empty (all addresses, IPv4 and IPv6);
/// port 0 lets the kernel choose one.
struct listen_address {
    /// What the host is: an address, a path ("unix:/run/socket"), the name of an abstract socket
    /// ("unix:@name"), or the name of a socket that the service manager has opened
    /// ("systemd:name").
    enum class kind : std::uint8_t { ip, unix_path, unix_abstract, systemd };

    host_port address{};
    /// Whether a host without this address family skips it with one info line: so for the defaults
    /// and for "localhost". What the user lists by address must bind.
    bool skip_if_unavailable = false;
    kind type = kind::ip;
    /// Of accepted_protocols. The client's only.
    std::uint8_t accept = accepted_protocols::all;
    /// Permissions and group of a path; without a group the process's own.
    std::uint32_t mode = 0600;
    std::string group{};

    bool is_transparent() const { return (accept & accepted_protocols::transparent) != 0; }
    bool is_tproxy() const { return accept == accepted_protocols::tproxy; }
    bool is_unix() const { return type == kind::unix_path || type == kind::unix_abstract; }

    bool operator==(const listen_address&) const = default;
};

/// TLS on the side that dials the link. Paths are complete: relative ones were completed with the
/// folder of the configuration file.
struct client_tls_settings {
    bool enabled = true;
    /// PEM file of trusted certificates. Empty: the system's, unless pins stand alone.
    std::string ca;
    /// The name in the certificate and in SNI. Empty: the host of the server's address.
    std::string server_name;
    /// Digests of the server's public key, one of which must match. Without `ca` they replace
    /// chain, name and dates; with `ca` both must hold.
    std::vector<sha256_digest> pin_sha256;
    /// PEM files of the client's own certificate and key (mutual TLS). Both or neither.
    std::string cert;
    std::string key;
    /// Whether token proofs are bound to the TLS channel (off where a load balancer ends TLS).
    bool channel_binding = true;

    bool operator==(const client_tls_settings&) const = default;
};

/// TLS on the side that accepts links.
struct server_tls_settings {
    bool enabled = true;
    /// PEM files of the certificate chain and its key; both are there when TLS is enabled.
    std::string cert;
    std::string key;
    /// PEM file of the authorities that client certificates must come from. Empty: none is asked.
    std::string client_ca;
    bool channel_binding = true;

    bool operator==(const server_tls_settings&) const = default;
};

/// docs/PROTOCOL.md, keepalive.
struct keepalive_settings {
    /// Silence after which a PING is sent.
    std::chrono::milliseconds interval{15'000};
    /// Further silence after which the peer counts as dead.
    std::chrono::milliseconds timeout{10'000};

    bool operator==(const keepalive_settings&) const = default;
};

/// TCP keepalive of connections with applications and with targets. The kernel counts in seconds.
struct tcp_keepalive_settings {
    /// Silence before the first probe. Zero: off.
    std::chrono::milliseconds idle{60'000};
    /// Between probes.
    std::chrono::milliseconds interval{30'000};
    /// Probes without an answer after which the connection counts as dead.
    std::uint32_t count = 4;

    bool operator==(const tcp_keepalive_settings&) const = default;
};

/// All in bytes.
struct memory_settings {
    /// The largest receive window of one stream.
    std::uint64_t stream_window = 64ULL << 20;
    /// What one session may hold: unread bytes and kept frames.
    std::uint64_t session = 256ULL << 20;
    /// What the process may hold. Never 0 in a loaded configuration: the default is a quarter of
    /// the memory that this process may use (resources.hpp).
    std::uint64_t total = 0;

    bool operator==(const memory_settings&) const = default;
};

/// Resumption of sessions on a new link.
struct resume_settings {
    bool enabled = true;
    /// How long a session is kept without a link.
    std::chrono::milliseconds timeout{8 * 3600 * 1000};
    /// Detached sessions in all. The server's only. `memory.total` binds earlier.
    std::uint32_t sessions = 100'000;
    /// What `limits.user.sessions` was called before, where it is given.
    std::optional<std::uint32_t> sessions_per_user;

    bool operator==(const resume_settings&) const = default;
};

struct timeout_settings {
    /// Client: TCP connect to the server. Server: dial to a target, name resolution included.
    std::chrono::milliseconds connect{10'000};
    /// The TLS handshake, and then again HELLO and AUTH.
    std::chrono::milliseconds handshake{5'000};
    /// Client: SOCKS method negotiation and request. Server: the request on an opened stream.
    std::chrono::milliseconds request{10'000};
    /// A frame of which the first byte has come must be complete.
    std::chrono::milliseconds frame{30'000};
    /// How long a request waits for a link, or for a free stream. The client's only.
    std::chrono::milliseconds wait{10'000};
    /// How long running streams get to finish when the program stops.
    std::chrono::milliseconds drain{30'000};
    /// A stream without a byte in either direction. Zero: off.
    std::chrono::milliseconds idle{0};
    /// A stream of which one direction has ended and the other carries no byte. Zero: off.
    std::chrono::milliseconds half_closed{0};
    /// A UDP association without a datagram in either direction (RFC 4787 section 4.3).
    std::chrono::milliseconds udp_idle{300'000};

    bool operator==(const timeout_settings&) const = default;
};

/// The links of a session, and the TCP connection under each.
struct link_settings {
    /// How many links a session has at most; the lower one of both sides' holds.
    std::uint32_t max = 3;
    /// TCP congestion control of the links' sockets, "bbr" for example. Empty: the system's.
    /// "auto": bbr, on a path long enough for it, where the kernel offers it; else the system's.
    std::string congestion{auto_congestion};

    static constexpr std::string_view auto_congestion = "auto";

    bool operator==(const link_settings&) const = default;
};

enum class log_level : std::uint8_t { trace, debug, info, warning, error };
enum class log_format : std::uint8_t { text, json };

/// "trace", "debug", "info", "warning" or "error".
[[nodiscard]] std::string_view to_string(log_level level) noexcept;
/// The level of that name; nothing for any other text.
[[nodiscard]] std::optional<log_level> parse_log_level(std::string_view name) noexcept;

struct log_settings {
    log_level level = log_level::info;
    log_format format = log_format::text;
    /// A file that is appended to, and opened anew on SIGHUP. Empty: standard error.
    std::string file;
    /// Whether destinations of streams may be named above level debug.
    bool destinations = false;

    bool operator==(const log_settings&) const = default;
};

} // namespace muxsocks
