#include "client/extra_link.hpp"

#include "protocol/link/tls/link_error.hpp"

namespace muxsocks::client {

extra_link::extra_link(link_thread& thread, const dial_services& services, watcher& to)
    : thread_(thread), services_(services), watcher_(to), limit_(thread.clock(), [this] {
          fail(joining() ? "the server did not answer JOIN in time"
                         : make_error_code(link_errc::tls_handshake_timeout).message());
      }) {}

void extra_link::dial(std::shared_ptr<const link_recipe> recipe, const server_entry& server,
                      const host_port& at, std::uint32_t segment_bytes) {
    abandon();
    state_ = state::connecting;
    recipe_ = std::move(recipe);
    dialing_ = dial_server(services_, recipe_, server, at, segment_bytes,
                           [this, server](const dial_failure& failure, tcp_socket socket) {
                               dialing_.reset();
                               if (failure) return fail(failure.text());
                               on_connected(server, std::move(socket));
                           });
}

void extra_link::on_connected(const server_entry& server, tcp_socket socket) {
    state_ = state::securing;
    limit_.expires_after(recipe_->settings.timeouts.handshake);
    set_congestion(socket.native_handle(), recipe_->settings.link.congestion);
    securing_ = new link(thread_, std::move(socket), make_engine(*recipe_, server));
    const auto started = securing_;
    started->start(*this);
}

void extra_link::on_link_up(link& from) {
    if (securing_.get() != &from) return;
    state_ = state::joining;
    limit_.expires_after(recipe_->settings.timeouts.handshake);
    watcher_.on_extra_secured(std::exchange(securing_, nullptr));
}

void extra_link::on_link_down(link& from, std::error_code, const std::string& text) {
    if (securing_.get() != &from) return;
    securing_.reset();
    fail(text);
}

void extra_link::on_answer() {
    limit_.cancel();
    state_ = state::idle;
}

void extra_link::abandon() {
    limit_.cancel();
    state_ = state::idle;
    if (dialing_) std::exchange(dialing_, nullptr)->cancel();
    if (securing_) std::exchange(securing_, nullptr)->abort();
}

void extra_link::fail(const std::string& text) {
    const bool was_joining = joining();
    abandon();
    watcher_.on_extra_failed(text, was_joining);
}

} // namespace muxsocks::client
