#pragma once

/// \file
/// Which streams of a session are bulk, found out by looking at all of them a few times a second:
/// nothing is metered while bytes move, but for an association's datagrams, which may be too many
/// before the next look. Only those that move much, or wait, have a bulk_meter.

#include "protocol/bulk_meter.hpp"
#include "protocol/link_facts.hpp"
#include "protocol/session/stream_table.hpp"

#include <vector>

namespace muxsocks {

class bulk_watch {
  public:
    /// Who moves less from one look to the next, and does not wait, is not worth a meter.
    static constexpr std::uint64_t worth_bytes = 16 * 1024;

    /// Sets stream::bulk, and appends to `changed` whose has changed. `bulk_bytes`: as
    /// bulk_meter::update() takes it.
    stream_facts look(const stream_table& streams, instant now, std::uint32_t bulk_bytes,
                      std::vector<stream*>& changed);

    /// The stream has sent much at once: it is bulk from now on. Look soon at what that means for
    /// the links.
    void on_surge(stream& s, instant now);

  private:
    struct metered {
        std::uint32_t id;
        std::uint64_t sent;
        std::uint64_t received;
        bulk_meter out;
        bulk_meter in;
    };

    static bool waits(const stream& s) {
        return s.queued == stream::queue::fresh || s.queued == stream::queue::bulk_round;
    }
    metered& begin(stream& s, instant now);
    /// Whether it is still worth its meter.
    bool meter(metered& one, stream& s, instant now, std::uint32_t bulk_bytes);

    std::vector<metered> metered_;
};

} // namespace muxsocks
