#pragma once

/// \file
/// The relay's command language: one line, one command, one line of answer. The same words work as
/// `--do` on the command line, in a script, on standard input and on the control port.
///
///     delay [up|down|both] TIME          one way; both together add twice that to a round trip
///     rate [up|down|both] RATE|off       bottleneck: 1gbit, 500kbit, 10MiB
///     queue SIZE|auto                    in front of the bottleneck; auto: twice rate x round trip
///     chunk SIZE[-SIZE]|off              bytes a write at most
///     stall [up|down|both] on|off|TIME   holds everything, loses nothing
///     swallow [up|down|both] on [new]    loses everything from now on, without FIN or RST: on the
///                                        connections there are; with `new`, on new ones too (those
///                                        are not even dialled when `up` is swallowed)
///     swallow off                        new connections work again
///     cut [rst|fin] [client|server|both] [all|oldest|newest]
///     cut-after up|down SIZE[-SIZE] [rst|fin]   each new connection, by bytes delivered
///     cut-after off
///     cut-in up|down SIZE[-SIZE] [rst|fin]      each connection there is, so many bytes from now
///     refuse on|off|TIME                 closes the listening socket
///     source ADDRESS,...|random|off      what new outgoing connections are bound to
///     target ADDRESS:PORT                where new connections go
///     at TIME COMMAND                    once, later
///     every TIME[-TIME] COMMAND          again and again
///     chaos TIME[-TIME] [WORD,...]       one of the actions every so often, by the seed; words:
///                                        cut fin half stall swallow chunk throttle source
///     cancel                             drops what at, every and chaos have planned
///     reset                              cancel, and all settings as at the start
///     stats                              one line of JSON
///     quit

#include "tests/tools/relay/relay.hpp"

#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::tools {

class command_interpreter {
  public:
    command_interpreter(asio::io_context& io, relay& target) : io_(io), relay_(target) {}

    /// Carries out one line and returns the answer: "ok", statistics, or "error: ..." with what
    /// was wrong. Never throws for a bad line. Empty lines and `# comments` are "ok".
    std::string execute(std::string_view line);

    /// What `reset` goes back to: the settings as they are now.
    void remember_start() { start_ = relay_.config(); }

    /// Whether each planned or random action is written to standard error as it happens.
    void log_actions(bool on) { log_actions_ = on; }

  private:
    using words = std::span<const std::string_view>;

    std::string dispatch(std::string_view command, words arguments, std::string_view line);
    void set_wire(std::string_view command, words arguments);
    void set_queue(words arguments);
    void automatic_queue();
    void set_chunk(words arguments);
    void set_stall(words arguments);
    void set_swallow(words arguments);
    void set_refuse(words arguments);
    void set_source(words arguments);
    void cut(words arguments);
    void cut_later(std::string_view command, words arguments);
    void plan(std::string_view command, words arguments, std::string_view line);
    void plan_chaos(words arguments);
    void execute_later(duration delay, std::string line);
    void repeat(range<duration> pause, std::function<std::string()> next);
    void execute_planned(const std::string& line);
    void cancel();

    asio::io_context& io_;
    relay& relay_;
    settings start_;
    bool queue_is_automatic_ = true;
    bool log_actions_ = false;
    std::list<std::shared_ptr<steady_timer>> planned_;
};

} // namespace muxsocks::tools
