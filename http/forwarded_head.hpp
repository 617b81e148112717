#pragma once

/// \file
/// Heads as a proxy passes them on (RFC 9110, section 7.6): without what is meant for one
/// connection only, everything else as it came and in its order. There is no Via: the proxy is on
/// the user's own machine, and a server need not know of it.

#include "http/authority.hpp"
#include "http/head.hpp"

#include <string>

namespace muxsocks::http {

/// A request for the server that `to` names: origin-form, Host in front. `rest` is the target
/// without scheme and authority.
std::string forwarded(const request_head& request, const authority& to, std::string_view rest);

/// An answer for the application. `close`: the connection ends with it; `old`: the application
/// speaks HTTP/1.0, where it has to be told that it does not.
std::string forwarded(const answer_head& answer, bool close, bool old);

} // namespace muxsocks::http
