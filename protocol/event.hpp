#pragma once

/// \file
/// What a session tells its owner.

#include "protocol/stream.hpp"

namespace muxsocks {

struct event {
    enum class kind : std::uint8_t {
        established, ///< Authenticated (or version 1 agreed): streams flow.
        opened,      ///< The peer opened `subject`; its owner must release() it, once.
        readable, ///< `subject` has unread bytes or its end has come: peek(), consume(), at_end().
        reset,    ///< `subject` ended by RST or with the session (`error`); release() it.
        goaway,   ///< The peer takes no new streams (or ids are used up): open elsewhere.
        detached, ///< The link is gone, the session waits to be resumed.
        resumed,  ///< The session goes on on a new link.
        closed,   ///< The session is over, for `error`; flush what is left, then drop it.
    };
    kind type;
    stream* subject = nullptr;
    std::error_code error{};
};

} // namespace muxsocks
