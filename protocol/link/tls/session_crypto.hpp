#pragma once

/// \file
/// The cryptography that the protocol core asks for, from OpenSSL.

#include "protocol/session/crypto.hpp"

namespace muxsocks {

crypto_functions session_crypto();

} // namespace muxsocks
