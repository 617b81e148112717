#include "server/health.hpp"

#include "protocol/error.hpp"
#include "protocol/frame.hpp"
#include "protocol/link/link.hpp"
#include "protocol/link/tls/link_error.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/listen.hpp"
#include "protocol/session/control.hpp"
#include "server/networks.hpp"
#include "server/proxy_protocol.hpp"

#include <sys/socket.h>

#include <cstdio>
#include <stdexcept>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

/// Below what container engines and supervisors allow, so that they get to see the reason.
constexpr auto answer_time = 3s;

bool is_hello(const frame_header& header, bytes_view payload) {
    return header.flags == flag::ctrl && !payload.empty() &&
           payload[0] == static_cast<std::uint8_t>(control_type::hello) &&
           decode_hello(payload).has_value();
}

class health_probe final : private link::owner {
  public:
    explicit health_probe(const config& settings)
        : settings_(settings), budget_(64U << 20), thread_(budget_) {}

    /// Empty if all is well, or what is wrong.
    std::string run() {
        begin();
        thread_.context().run_for(answer_time);
        if (link_) link_->abort();
        // The goodbye goes out; the server's is not waited for.
        thread_.context().restart();
        thread_.context().poll();
        return fault_;
    }

  private:
    void begin() {
        tcp_socket socket(thread_.context().get_executor());
        const int descriptor = connect_to_own_listener(settings_.listen, answer_time);
        socket.assign(asio::ip::tcp::v4(), descriptor);
        // From a load balancer's address the server demands a PROXY header.
        if (in_networks(settings_.proxy_protocol.from, socket.local_endpoint().address())) {
            const auto header = local_proxy_header();
            (void)::send(descriptor, header.data(), header.size(), MSG_NOSIGNAL);
        }
        socket.native_non_blocking(true);
        std::optional<tls_engine> engine;
        if (settings_.tls.enabled) {
            tls_settings tls;
            tls.pins = {pin_text(spki_pin_of(settings_.tls.cert))};
            engine.emplace(tls_context(tls));
        }
        link_ = new link(thread_, std::move(socket), std::move(engine));
        link_->start(*this);
    }

    void on_link_up(link& from) override {
        fault_ = "no HELLO within 3 s";
        hello_frame hello;
        if (settings_.tls.enabled && settings_.tls.channel_binding)
            hello.features = feature::channel_binding;
        from.send(control_frame(encode(hello)));
        from.flush();
    }

    std::size_t on_link_bytes(link& from, bytes_view received) override {
        if (received.size() < frame_header_size) return 0;
        const auto header = decode_header(received.data());
        const auto payload = received.subspan(frame_header_size);
        if (payload.size() < header.length) return 0;
        fault_ = is_hello(header, payload.first(header.length)) ? "" : "the answer is not a HELLO";
        from.send(control_frame(
            encode(close_frame{static_cast<std::uint8_t>(close_code::normal), 0, "health check"})));
        from.close();
        link_.reset();
        thread_.context().stop();
        return received.size();
    }

    void on_link_writable(link&) override {}

    void on_link_down(link&, std::error_code error, const std::string& text) override {
        link_.reset();
        // In TLS 1.3 the server asks for a certificate after it has shown its own: it works.
        const bool wants_ours = error == link_errc::certificate_refused;
        fault_ = wants_ours && !settings_.tls.client_ca.empty() ? "" : text;
        thread_.context().stop();
    }

    const config& settings_;
    memory_budget budget_;
    link_thread thread_;
    link_ptr link_;
    std::string fault_ = "no TLS handshake within 3 s";
};

} // namespace

int check_health(const config& settings) {
    std::string fault;
    try {
        fault = health_probe(settings).run();
    } catch (const std::runtime_error& error) {
        fault = error.what();
    }
    if (fault.empty())
        std::puts("healthy: the server answered");
    else
        std::printf("unhealthy: %s\n", fault.c_str());
    return fault.empty() ? exit_ok : exit_failure;
}

} // namespace muxsocks::server
