#pragma once

/// \file
/// What resumption must not do without, taken out of a session from outside: the simulation has to
/// find what goes wrong then.

#include "protocol/session.hpp"

namespace muxsocks::sim {

struct session_faults {
    bool no_start = false;       ///< The client replays without START.
    bool no_first_frame = false; ///< The client takes its own count for the server's.

    /// The counted frames that a client has processed.
    static std::uint64_t received(const session& core) { return core.recv_frames_; }

    /// For a client whose RESUME has just been answered by RESUME_OK; `asked` is what it had
    /// received when it made the RESUME.
    void spoil(session& core, std::uint64_t asked) const {
        if (no_start) core.outbox_.clear();
        if (no_first_frame) core.recv_next_ = asked + 1;
    }
};

} // namespace muxsocks::sim
