#pragma once

/// \file
/// What the proxy itself has to say in HTTP, with the reason for programs in Proxy-Status
/// (RFC 9209).

#include "client/answer_language.hpp"
#include "http/head.hpp"

#include <string>

namespace muxsocks::client {

/// There is no connection to the target.
std::string http_answer(const refusal& why);
/// The request itself is wrong, or what the target has sent (502).
std::string http_answer(const http::fault& why);
/// User and password are missing, or wrong. `close`: the connection ends with it.
std::string http_login_answer(bool close);

} // namespace muxsocks::client
