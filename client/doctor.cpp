#include "client/doctor.hpp"

#include "client/client.hpp"
#include "client/link_supervisor.hpp"
#include "protocol/link/link_error.hpp"
#include "protocol/program/command_line.hpp"
#include "socks5/message.hpp"
#include "socks5/reply_code.hpp"

#include <charconv>
#include <cstdio>
#include <stdexcept>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

/// RFC 6761: never exists.
constexpr std::string_view default_target = "doctor.muxsocks.invalid:80";

socks5::request parse_target(const std::string& text) {
    const auto colon = text.rfind(':');
    std::uint16_t port = 0;
    const auto end = text.data() + text.size();
    if (colon == std::string::npos || colon == 0 ||
        std::from_chars(text.data() + colon + 1, end, port).ptr != end || port == 0)
        throw usage_error("doctor: expected a target like example.org:443, found \"" + text + "\"");
    auto host = text.substr(0, colon);
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    boost::system::error_code not_an_address;
    const auto ip = asio::ip::make_address(host, not_an_address);
    socks5::request request;
    if (not_an_address)
        request.dst = socks5::address::from_domain(host, port);
    else if (ip.is_v4())
        request.dst = socks5::address::from_ipv4(ip.to_v4().to_bytes(), port);
    else
        request.dst = socks5::address::from_ipv6(ip.to_v6().to_bytes(), port);
    return request;
}

class examination final : session_driver::delegate, link::owner, stream_owner {
  public:
    examination(const link_recipe& recipe, const server_entry& server, socks5::request request)
        : recipe_(recipe),
          server_(server),
          request_(std::move(request)),
          budget_(256U << 20),
          thread_(budget_),
          resolver_(thread_.context(), thread_.clock(), {}),
          services_{thread_.context(), thread_.clock(), resolver_, 250ms, false},
          limit_(thread_.clock(), [this] { fail("no answer within 10 s", hint_); }) {}

    bool run() {
        std::printf("%s\n", to_string(server_.address).c_str());
        begin("name", "check the spelling of \"server\" and this machine's DNS");
        resolver_.resolve(server_.address.host,
                          [this](std::error_code error, auto addresses, bool last) {
                              on_addresses(error, addresses, last);
                          });
        const auto work = asio::make_work_guard(thread_.context());
        thread_.context().run();
        if (driver_) {
            driver_->forget_delegate();
            driver_->close(close_code::normal, errc::closed_locally, {});
            thread_.context().restart();
            thread_.context().run_for(50ms);
        }
        return good_;
    }

  private:
    void begin(const char* step, const char* hint) {
        step_ = step;
        hint_ = hint;
        began_ = std::chrono::steady_clock::now();
        limit_.expires_after(10s);
    }
    void pass(const std::string& what) {
        const auto took =
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began_);
        std::printf("  ok    %-8s %8.1f ms  %s\n", step_, took.count(), what.c_str());
    }
    void fail(const std::string& why, const std::string& hint) {
        if (over_) return;
        std::printf("  FAIL  %-8s %s\n        what to do: %s\n", step_, why.c_str(), hint.c_str());
        stop();
    }
    void stop() {
        over_ = true;
        thread_.context().stop();
    }

    void on_addresses(std::error_code error, std::span<const asio::ip::address> found, bool last) {
        if (error) return fail(error.message(), hint_);
        for (const auto& each : found)
            addresses_ += (addresses_.empty() ? "" : ", ") + each.to_string();
        if (!last) return;
        pass(addresses_);
        begin("TCP", "is the server running, is the port right, does a firewall let it through?");
        connect_options options;
        options.timeout = recipe_.settings.timeouts.connect;
        options.before_connect = [](int descriptor) { set_link_options(descriptor, {}); };
        dialing_ =
            connect_to_host(services_, server_.address.host, server_.address.port,
                            std::move(options), [this](std::error_code failed, tcp_socket socket) {
                                on_connected(failed, std::move(socket));
                            });
    }

    void on_connected(std::error_code error, tcp_socket socket) {
        if (error) return fail(error.message(), hint_);
        pass("connected");
        std::optional<tls_engine> engine;
        begin("TLS", "compare \"tls\" with the server's settings (pin, CA, names)");
        if (recipe_.tls) {
            auto name = server_.server_name;
            if (name.empty()) name = recipe_.settings.tls.server_name;
            if (name.empty()) name = server_.address.host;
            engine.emplace(*recipe_.tls, name);
        }
        link_ = new link(thread_, std::move(socket), std::move(engine));
        link_->start(*this);
    }

    void on_link_up(link& from) override {
        pass(from.engine() ? from.engine()->cipher() : "off (\"tls.enabled\" is false)");
        begin("token", "compare auth.user and auth.token with users[] of the server");
        driver_ = new session_driver(
            thread_, make_session_settings(recipe_.settings, thread_, false), *this);
        driver_->start(std::exchange(link_, nullptr));
    }

    void on_link_down(link&, std::error_code error, const std::string& text) override {
        link_.reset();
        const bool dates = error == link_errc::certificate_expired ||
                           error == link_errc::certificate_not_yet_valid;
        fail(text, dates ? "check this machine's clock; if it is right, renew the certificate"
                         : std::string(hint_));
    }

    void on_established(session_driver& from) override {
        pass(from.core().user().empty() ? "no token asked for"
                                        : "authenticated as " + from.core().user());
        begin("request", "the server's log, at level debug, says why");
        asked_ = &from.open(socks5::encode(request_), *this);
    }

    void on_stream_readable() override {
        std::array<bytes_view, 1> view;
        if (driver_->core().peek(*asked_, view) == 0) return;
        const auto parsed = socks5::parse_reply(view[0]);
        if (parsed.status == socks5::parse_status::need_more) return;
        const auto rep = static_cast<socks5::reply_code>(parsed.value.rep);
        const auto target = socks5::to_string(request_.dst);
        const bool proof = target == default_target && rep == socks5::reply_code::host_unreachable;
        good_ = rep == socks5::reply_code::succeeded || proof;
        if (proof)
            pass("the server answered (that " + target + " does not exist)");
        else if (good_)
            pass("connected to " + target);
        else
            fail("the server refused " + target + ": " + std::string(socks5::to_text(rep)),
                 rep == socks5::reply_code::not_allowed
                     ? "the server's \"destinations\" deny it: allow it there if it should be"
                     : "the target does not answer the server: try another --target");
        driver_->core().release(*std::exchange(asked_, nullptr));
        stop();
    }

    void on_stream_reset(std::error_code why) override {
        driver_->core().release(*std::exchange(asked_, nullptr));
        fail(why.message(), hint_);
    }
    void on_closed(session_driver&, std::error_code, const std::string& text) override {
        fail(text, hint_);
    }

    // Not reached in so short a life, or of no interest.
    std::size_t on_link_bytes(link&, bytes_view) override { return 0; }
    void on_link_writable(link&) override {}
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    void on_opened(session_driver& from, stream& opened) override { from.core().release(opened); }
    void on_goaway(session_driver& from) override {
        fail("the server takes no new streams: " + from.core().peer_text(),
             "it is stopping: try again later");
    }
    void on_detached(session_driver&, std::error_code, const std::string& text) override {
        fail(text, hint_);
    }
    void on_resumed(session_driver&) override {}
    void on_resume_failed(session_driver&, const resume_fail_frame&, link_ptr) override {}
    void on_resume_lost(session_driver&, std::error_code, const std::string&) override {}
    duration answer_delay(session_driver&, std::error_code) override { return {}; }

    const link_recipe& recipe_;
    const server_entry& server_;
    socks5::request request_;
    memory_budget budget_;
    link_thread thread_;
    resolver resolver_;
    dial_services services_;
    deadline limit_;
    std::shared_ptr<happy_eyeballs> dialing_;
    link_ptr link_;
    driver_ptr driver_;
    stream* asked_ = nullptr;
    std::string addresses_;
    const char* step_ = "";
    const char* hint_ = "";
    std::chrono::steady_clock::time_point began_;
    bool good_ = false;
    bool over_ = false;
};

} // namespace

int examine(const config& settings, const std::string& target) {
    const auto request = parse_target(target.empty() ? std::string(default_target) : target);
    const auto recipe = make_recipe(settings);
    bool good = false;
    for (const auto& server : recipe->settings.servers)
        good = examination(*recipe, server, request).run() || good;
    return good ? exit_ok : exit_failure;
}

} // namespace muxsocks::client
