#pragma once

/// \file
/// Streams that are opened, carry a little in both directions once, and are then left alone: what
/// their mere existence costs.

#include "benchmarks/load/measurement.hpp"

#include <memory>
#include <vector>

namespace muxsocks::load {

class idle_stream;

class idle_streams {
  public:
    /// Each of `count` streams will carry `bytes` to the target's echo and back.
    idle_streams(event_loop& loop, const route& way, std::size_t count, std::uint64_t bytes);
    ~idle_streams();

    /// Opens all, and then has all carry; false if one failed or the time was up.
    bool open(clock::time_point deadline);
    bool carry(clock::time_point deadline);

    /// Has them lie still until `until`, noticing the ones that end meanwhile.
    void hold(clock::time_point until);

    void add_to(outcome& all) const;

  private:
    enum class step { open, carry };
    bool run(step what, clock::time_point deadline);

    event_loop& loop_;
    std::vector<std::uint8_t> content_;
    std::vector<std::unique_ptr<idle_stream>> streams_;
};

} // namespace muxsocks::load
