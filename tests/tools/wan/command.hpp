#pragma once

/// \file
/// The WAN's command language: one line, one command, one line of answer. The same words work as
/// `--do` on the command line and on standard input. Up is from the near side to the far one;
/// without a direction a command holds for both.
///
///     delay [up|down|both] TIME            one way; both together add twice that to a round trip
///     rate [up|down|both] RATE|off         9kbit, 100mbit, 1gbit
///     queue [up|down|both] SIZE|auto       in front of the rate, tail drop; auto: one
///                                          bandwidth-delay product, at least ten packets
///     loss [up|down|both] PERCENT          of each packet by itself
///     burst [up|down|both] PERCENT PACKETS | off     in all, and the mean length of a run
///     reorder [up|down|both] PERCENT TIME | off      so many come so much later than the others
///     mtu [up|down|both] BYTES [told] | off          above it: nothing comes, or the sender is
///     told blackout [up|down|both] TIME|on|off  nothing comes in or out translate near|far REAL
///     SEEN         the other side knows that host by another address; what
///                                          was sent to the old one finds nobody
///     translate off
///     stats                                one line of JSON
///     quit

#include "tests/tools/wan/wan.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace muxsocks::tools {

class wan_commands {
  public:
    explicit wan_commands(wan& target) : wan_(target) {}

    /// Carries out one line and returns the answer: "ok", statistics, or "error: ..." with what
    /// was wrong. Never throws for a bad line. Empty lines and `# comments` are "ok".
    std::string execute(std::string_view line, time_point now);

    bool quit() const { return quit_; }

  private:
    using words = std::span<const std::string_view>;

    std::string dispatch(std::string_view command, words arguments, time_point now);
    void set(std::string_view command, path& way, words arguments, time_point now);
    void set_translation(words arguments);
    void size_queues();

    wan& wan_;
    std::array<bool, 2> queue_is_automatic_{true, true};
    bool quit_ = false;
};

} // namespace muxsocks::tools
