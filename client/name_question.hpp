#pragma once

/// \file
/// Asks the server for the address of a name (RESOLVE), or whether an address is one that may be
/// reached: a stream of its own, which ends with its reply.

#include "protocol/link/session_driver.hpp"
#include "socks5/message.hpp"

namespace muxsocks::client {

class name_question final : public ref_counted<name_question>, public stream_owner {
  public:
    /// Called once, with REP 01 where there was no reply; not after cancel().
    using handler = unique_function<void(const socks5::reply&)>;

    name_question(driver_ptr driver, handler done)
        : driver_(std::move(driver)), done_(std::move(done)) {}
    void ask(const socks5::address& target);
    void cancel();

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    /// It does not go along, and there will be no reply.
    void on_handed_over() override;

  private:
    void end(const socks5::reply& reply);

    driver_ptr driver_;
    handler done_;
    stream* stream_ = nullptr;
    boost::intrusive_ptr<name_question> kept_; ///< The stream's reference.
    std::vector<std::uint8_t> reply_;
};

} // namespace muxsocks::client
