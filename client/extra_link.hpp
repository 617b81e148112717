#pragma once

/// \file
/// Dials one more link beside those that a session has: the connection and TLS, each with its time,
/// and the time for JOIN, which its owner sends. One at a time; what fails is told once.
///
///     idle --dial()--> connecting --TCP--> securing --TLS--> joining --on_answer()--> idle
///      ^                    \_________________\_________________\ fails, or takes too long
///      '------------------------------------------------------------------'

#include "client/server_dial.hpp"
#include "protocol/link/link.hpp"

namespace muxsocks::client {

class extra_link final : private link::owner {
  public:
    class watcher {
      public:
        /// TLS is up: send JOIN, and tell on_answer() what becomes of it.
        virtual void on_extra_secured(link_ptr up) = 0;
        /// `joining`: it is the session's link that joins.
        virtual void on_extra_failed(const std::string& text, bool joining) = 0;

      protected:
        ~watcher() = default;
    };

    extra_link(link_thread& thread, const dial_services& services, watcher& to);
    ~extra_link() { abandon(); }

    /// `server` says who must answer, `at` where.
    void dial(std::shared_ptr<const link_recipe> recipe, const server_entry& server,
              const host_port& at, std::uint32_t segment_bytes);
    bool under_way() const { return state_ != state::idle; }
    bool joining() const { return state_ == state::joining; }
    void on_answer();
    /// Without a word.
    void abandon();

  private:
    enum class state : std::uint8_t { idle, connecting, securing, joining };

    void on_connected(const server_entry& server, tcp_socket socket);
    void fail(const std::string& text);

    void on_link_up(link& from) override;
    std::size_t on_link_bytes(link&, bytes_view) override { return 0; }
    void on_link_writable(link&) override {}
    void on_link_down(link& from, std::error_code error, const std::string& text) override;

    link_thread& thread_;
    dial_services services_;
    watcher& watcher_;
    state state_ = state::idle;
    std::shared_ptr<const link_recipe> recipe_;
    server_dial_ptr dialing_;
    link_ptr securing_;
    deadline limit_;
};

} // namespace muxsocks::client
