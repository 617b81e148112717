#pragma once

/// \file
/// Inside of forward_connection: its wish for a stream.

#include "client/end_watch.hpp"
#include "client/forward_connection.hpp"
#include "client/http_answers.hpp"
#include "protocol/program/log.hpp"

namespace muxsocks::client {

/// The connection's wish for a stream. It holds the connection as long as no session has it.
class forward_connection::request final : public pending_request {
  public:
    /// Without a connection it is one that a session has.
    explicit request(forward_connection* of) : of_(of) {}

    void begin(driver_ptr driver, request_sink& sink) override {
        end_watch_.stop(of_->socket_);
        const auto of = std::move(of_);
        of->on_session(*this, std::move(driver), sink);
    }
    std::optional<socks5::address> target() const override { return of_->target_; }
    bool outlives_half_close() const override { return true; }
    void begin_direct(tcp_socket target, direct_dialer& by) override {
        end_watch_.stop(of_->socket_);
        const auto of = std::move(of_);
        of->on_direct(*this, std::move(target), by);
    }
    void refuse(const refusal& why) override {
        end_watch_.stop(of_->socket_);
        const auto of = std::move(of_);
        log::debug("request for {} refused: {}", destination, why.text);
        of->refuse(why);
    }
    void watch(std::function<void()> gone) override {
        end_watch_.start(of_->socket_, std::move(gone));
    }
    void give_back_to(forward_connection& of) { of_ = &of; }

  private:
    self_ptr of_;
    end_watch end_watch_; ///< While it waits.
};

} // namespace muxsocks::client
