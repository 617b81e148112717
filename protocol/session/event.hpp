#pragma once

/// \file
/// What a session tells its owner.

#include "protocol/session/stream.hpp"

namespace muxsocks {

struct event {
    enum class kind : std::uint8_t {
        established, ///< Authenticated (or version 1 agreed): streams flow.
        opened,      ///< The peer opened `subject`; its owner must release() it, once.
        readable, ///< `subject` has unread bytes or its end has come: peek(), consume(), at_end().
        reset,    ///< `subject` ended by RST or with the session (`error`); release() it.
        goaway,   ///< The peer takes no new streams (or ids are used up): open elsewhere.
        datagram, ///< One came for `subject`: datagrams::received().
        notice,   ///< session::take_notice(), about `subject` or, without one, the session.
        link_up,  ///< Client: the server has let `link` join.
        join_failed, ///< Client: it has not (session::join_answer()); the link is not ours any
                     ///< more.
        link_down,   ///< The session has given `link` up, for `error`: end it.
        detached,    ///< No link is left; the session waits for one.
        attached,    ///< There is a link again.
        closed,      ///< The session is over, for `error`; flush what is left, then drop it.
    };
    kind type;
    stream* subject = nullptr;
    std::error_code error{};
    link_number link = 0;
};

} // namespace muxsocks
