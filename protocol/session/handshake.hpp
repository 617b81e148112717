#pragma once

/// \file
/// How a session begins, on its first link: HELLO, AUTH and their answers, and what both sides have
/// agreed on then.

#include "protocol/session/proofs.hpp"
#include "protocol/session/settings.hpp"

namespace muxsocks {

/// What HELLO has settled; it does not change in the session's life.
struct agreement {
    std::uint32_t peer_window = 0;
    std::uint32_t peer_max_streams = 0;
    std::uint32_t stream_limit = 0; ///< Server: of this user.
    std::uint32_t resume_timeout_ms = 0;
    std::uint8_t max_links = 1;
    bool resumable = false; ///< Whether the session can be without a link.
    bool keeps = false;     ///< Whether frames are kept and acknowledged.
    bool notices = false;
    bool datagrams = false;
    std::string user;
    std::string join_at;
};

class handshake {
  public:
    enum class step : std::uint8_t { start, hello, auth, done };

    handshake(const session_settings& settings, session_proofs& proofs)
        : settings_(settings), proofs_(proofs) {}

    struct outcome {
        std::optional<errc> fault;        ///< The session ends with it.
        std::vector<std::uint8_t> answer; ///< To be sent; maybe none.
        std::optional<duration> rtt;      ///< The round trip, measured.
    };
    /// The first link is up.
    outcome begin(bytes_view exporter, instant now);
    /// A control frame on stream 0. AUTH that proves nothing, and AUTH_FAIL, are faults
    /// (authentication_failed) after which no CLOSE is sent.
    outcome on_control(control_type type, bytes_view payload, instant now);
    /// A whole control frame of an unknown type, in front of HELLO. Whether there were too many.
    bool on_extension(std::size_t size) { return !leading_.take(size); }
    /// The peer speaks version 1: there is nothing to agree on.
    void skip();
    /// It was all settled elsewhere.
    void restore(const agreement& settled) {
        agreed_ = settled;
        at_ = step::done;
    }

    step at() const { return at_; }
    bool done() const { return at_ == step::done; }
    /// Whether streams may go out: a client's follow right behind AUTH.
    bool streams_flow() const { return done() || (at_ == step::auth && client()); }
    std::optional<instant> deadline() const {
        return at_ == step::hello || at_ == step::auth ? std::optional(deadline_) : std::nullopt;
    }
    const agreement& agreed() const { return agreed_; }

  private:
    bool client() const { return settings_.side == role::client; }
    outcome on_hello(bytes_view payload, instant now);
    outcome on_auth(bytes_view payload, instant now);
    outcome on_auth_ok(bytes_view payload);
    std::vector<std::uint8_t> make_hello(std::uint32_t features) const;
    void agree(const hello_frame& theirs, std::uint32_t features);

    const session_settings& settings_;
    session_proofs& proofs_;
    agreement agreed_;
    step at_ = step::start;
    instant sent_{}; ///< When our HELLO went out.
    instant deadline_{};
    leading_extensions leading_;
};

} // namespace muxsocks
