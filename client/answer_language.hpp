#pragma once

/// \file
/// How an application that asks for a connection is told what became of it: in the protocol in
/// which it has asked. The languages have no state; each is one object.

#include "client/pending_request.hpp"
#include "protocol/byte_order.hpp"
#include "socks5/message.hpp"

namespace muxsocks::client {

class answer_language {
  public:
    /// For another process, which has the same ones.
    enum class kind : std::uint8_t { socks5 = 1, socks4 = 2, http = 3, none = 4 };
    virtual kind which() const = 0;
    /// Whether the server's replies are what the application is to get, byte for byte.
    virtual bool passes_replies() const { return false; }
    /// Whether the application believes that it is connected already: it is told nothing, a refusal
    /// is a reset, and it may end its side at any time.
    virtual bool is_unheard() const { return false; }
    /// In front of the target's first byte. `bnd` is what the server has bound.
    virtual std::vector<std::uint8_t> granted(const socks5::address& bnd) const = 0;
    /// The last words on the connection.
    virtual std::vector<std::uint8_t> refused(const refusal& why) const = 0;

  protected:
    ~answer_language() = default;
};

/// RFC 1928 section 6.
const answer_language& socks5_answers();
const answer_language& socks4_answers();
/// CONNECT (RFC 9110, section 9.3.6).
const answer_language& http_answers();
/// For connections that the kernel has brought here.
const answer_language& no_answers();
/// Null for what is none.
const answer_language* find_language(answer_language::kind which);

} // namespace muxsocks::client
