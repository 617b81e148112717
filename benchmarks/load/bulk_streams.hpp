#pragma once

/// \file
/// Bulk transfers through the proxy: a set of streams that are opened, begun together, stopped or
/// left to their length, and checked.

#include "benchmarks/load/measurement.hpp"
#include "benchmarks/load/stream.hpp"
#include "benchmarks/load/transfer.hpp"

#include <memory>
#include <vector>

namespace muxsocks::load {

/// One transfer; begins when told to.
class bulk_stream : public stream {
  public:
    using stream::stream;

    /// Asks the target for the transfer. The stream must be open.
    virtual void begin() = 0;
    /// Ends an endless transfer.
    virtual void stop() = 0;
    /// Downloads only: no longer, or again, reads what arrives.
    virtual void pause(bool /*paused*/) {}

    /// Payload bytes that arrived here, or that the socket took.
    virtual std::uint64_t bytes() const = 0;
    bool wrong() const { return wrong_; }
    bool complete() const { return complete_; }
    clock::time_point ended_at() const { return ended_at_; }

  protected:
    void on_open() override {}
    void on_end() override { ended_at_ = clock::now(); }
    void complete(bool intact);

  private:
    bool wrong_ = false;
    bool complete_ = false;
    clock::time_point ended_at_;
};

/// A group of transfers in one direction with the same length.
class bulk_streams {
  public:
    /// `length` in payload bytes a stream, 0 for endless.
    bulk_streams(event_loop& loop, const route& way, direction towards, std::size_t count,
                 std::uint64_t length);

    /// Opens all of them; false if one failed or the time was up.
    bool open(clock::time_point deadline);
    void begin();
    void stop();
    void pause(bool paused);

    /// Turns the loop until every stream has ended or the time is up; false in the latter case.
    bool run_until_ended(clock::time_point deadline);
    void run_until(clock::time_point deadline);

    bool all_ended() const;
    std::uint64_t bytes() const;
    void add_to(outcome& all) const;
    /// Slowest and fastest stream in 1e6 bytes a second since `begin`.
    void write_rates(json& result, clock::time_point begin) const;

  private:
    event_loop& loop_;
    std::vector<std::unique_ptr<bulk_stream>> streams_;
};

} // namespace muxsocks::load
