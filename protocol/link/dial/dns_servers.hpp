#pragma once

/// \file
/// Which of several DNS servers to ask first: in the order in which they are configured, but for
/// those that have kept silent lately, which come last. A pure object: time comes in as an
/// argument.

#include <chrono>
#include <cstddef>
#include <vector>

namespace muxsocks {

///              answers                     3 questions in a row unanswered
///     in use <--------- in use, doubted ----------------------------------> silent
///        ^                                                                    |
///        +---- answers a question, or a probe that goes along with one -------+
class dns_servers {
  public:
    using clock = std::chrono::steady_clock;

    /// A name is asked for by two questions, and one lost datagram, or two, may befall any server.
    static constexpr int silences_max = 3;
    /// After which a server that kept silent is asked again, beside another one.
    static constexpr std::chrono::seconds probe_interval{15};

    explicit dns_servers(std::size_t count, clock::duration between_probes = probe_interval)
        : between_probes_(between_probes), states_(count) {}

    /// The servers' indices in the order in which a question should go to them.
    [[nodiscard]] std::vector<std::size_t> order() const;
    /// A silent server that a question should go to besides, for its own sake: whatever it says, or
    /// does not, only counts for on_answer(). The next one is due after the interval. `count` if
    /// none is due.
    [[nodiscard]] std::size_t take_probe(clock::time_point now);

    /// The server has answered something that helps.
    void on_answer(std::size_t server) { states_[server].silences = 0; }
    /// It has not answered in its time a question that another one has answered.
    void on_silence(std::size_t server, clock::time_point now);

    [[nodiscard]] bool is_silent(std::size_t server) const {
        return states_[server].silences >= silences_max;
    }

  private:
    struct state {
        int silences = 0;
        clock::time_point probe_due{};
    };

    clock::duration between_probes_;
    std::vector<state> states_;
};

} // namespace muxsocks
