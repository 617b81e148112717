#pragma once

/// \file
/// Inside of forward_connection: its wish for a stream.

#include "client/forward_connection.hpp"
#include "client/http_answers.hpp"
#include "protocol/program/log.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace muxsocks::client {

/// The connection's wish for a stream. It holds the connection as long as no session has it.
class forward_connection::request final : public pending_request {
  public:
    /// Without a connection it is one that a session has.
    explicit request(forward_connection* of) : of_(of) {}

    void begin(driver_ptr driver, request_sink& sink) override {
        leave_queue();
        const auto of = std::move(of_);
        of->on_session(*this, std::move(driver), sink);
    }
    std::optional<socks5::address> target() const override { return of_->target_; }
    bool outlives_half_close() const override { return true; }
    void begin_direct(tcp_socket target, direct_dialer& by) override {
        leave_queue();
        const auto of = std::move(of_);
        of->on_direct(*this, std::move(target), by);
    }
    void refuse(const refusal& why) override {
        leave_queue();
        const auto of = std::move(of_);
        log::debug("request for {} refused: {}", destination, why.text);
        of->refuse(why);
    }
    void watch(std::function<void()> gone) override {
        watched_ = std::make_shared<std::function<void()>>(std::move(gone));
        of_->socket_.async_wait(
            tcp_socket::wait_read, [this, watched = std::weak_ptr<std::function<void()>>(watched_)](
                                       const boost::system::error_code& error) {
                const auto call = watched.lock();
                if (error || !call) return;
                std::uint8_t byte = 0;
                const auto size =
                    ::recv(of_->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
                if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) (*call)();
            });
    }
    void give_back_to(forward_connection& of) { of_ = &of; }

  private:
    void leave_queue() {
        if (!std::exchange(watched_, nullptr)) return;
        boost::system::error_code ignored;
        of_->socket_.cancel(ignored);
    }

    self_ptr of_;
    std::shared_ptr<std::function<void()>> watched_;
};

} // namespace muxsocks::client
