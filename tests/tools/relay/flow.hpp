#pragma once

/// \file
/// One direction of one connection: reads from one socket into a delay line, writes what is due to
/// the other, and does to the bytes what the settings say. Ends travel with the bytes: a FIN behind
/// the last byte, a RST after the delay. What an end means for the connection is its owner's
/// business (connection.hpp).

#include "tests/tools/relay/delay_line.hpp"
#include "tests/tools/relay/settings.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace muxsocks::tools {

class flow {
  public:
    /// What the owner is told. Any of them may close the sockets; none may destroy the flow, which
    /// lives until the handlers that hold the owner are gone.
    struct listener {
        virtual ~listener() = default;
        /// The FIN of this direction has been passed on, or was swallowed, and nothing follows.
        virtual void on_finished(direction way) = 0;
        /// The source was reset, and its delay is over.
        virtual void on_reset(direction way) = 0;
        /// The destination takes no more.
        virtual void on_destination_lost(direction way) = 0;
        /// As many bytes have been delivered as cut_at() asked for.
        virtual void on_cut_due(direction way, cut_style style) = 0;
    };

    flow(context& shared, direction way, tcp_socket& source, tcp_socket& destination,
         listener& owner);

    /// Begins to carry bytes. The owner of the sockets is `keep`, which every handler holds.
    void start(std::shared_ptr<void> keep);

    /// Does what can be done now; to be called after any change of the settings. Safe before
    /// start() and after stop(), and then nothing.
    void run();

    /// Carries nothing more; handlers that are under way end by themselves.
    void stop();

    /// From now on everything that comes in is lost, and so is what is inside.
    void swallow();

    /// Asks for on_cut_due after `bytes` have been delivered in all, or from now on.
    void cut_at(std::uint64_t bytes, cut_style style);
    void cut_in(std::uint64_t bytes, cut_style style) { cut_at(delivered_ + bytes, style); }

    /// The source socket was reset: passes it on after the delay.
    void source_reset();

    bool finished() const { return finished_ || (swallowed_ && source_ended_); }
    std::uint64_t held_bytes() const { return line_.held_bytes(); }

  private:
    const direction_settings& config() const { return shared_.config[way_]; }
    bool deliver(time_point now);
    bool read(time_point now);
    void drain_swallowed();
    std::size_t write_limit(std::size_t ready);
    void deliver_ends(time_point now);
    void wait_readable();
    void wait_writable();
    void wait_until_next_step(time_point now);

    context& shared_;
    direction way_;
    tcp_socket& source_;
    tcp_socket& destination_;
    listener& owner_;
    delay_line line_;
    steady_timer timer_;
    std::shared_ptr<void> keep_;

    bool running_ = false;
    bool swallowed_ = false;
    bool waits_readable_ = false;
    bool waits_writable_ = false;
    bool source_ended_ = false; ///< no more bytes come: FIN or RST was read
    bool finished_ = false;
    std::optional<time_point> fin_due_;
    std::optional<time_point> reset_due_;
    std::optional<std::uint64_t> cut_at_;
    cut_style cut_style_ = cut_style::rst;
    std::uint64_t delivered_ = 0;
};

} // namespace muxsocks::tools
