#pragma once

/// \file
/// The BIO between OpenSSL and an engine's caller: it reads from the view and writes to the buffer
/// that the current call has lent (tls_io). A read takes only what OpenSSL asks for, which without
/// read_ahead is one record's header and then its body: so OpenSSL never moves bytes about in a
/// buffer of its own.

#include "protocol/link/tls/tls_context_state.hpp"

namespace muxsocks {

/// Null when OpenSSL has no memory. Between calls it has nothing to read.
bio_ptr make_tls_bio();

/// Lends `io` for as long as it lives.
class tls_io_loan {
  public:
    tls_io_loan(BIO* bio, tls_io& io);
    ~tls_io_loan();
    tls_io_loan(const tls_io_loan&) = delete;
    tls_io_loan& operator=(const tls_io_loan&) = delete;

  private:
    BIO* bio_;
};

/// What the current call has lent to this connection. Only inside a call.
tls_io& lent_io(const SSL* ssl);

} // namespace muxsocks
