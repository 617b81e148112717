#include "client/doctor.hpp"

#include "client/client.hpp"
#include "client/doctor_cures.hpp"
#include "client/kernel_check.hpp"
#include "client/link_supervisor.hpp"
#include "client/segment_limit.hpp"
#include "protocol/error.hpp"
#include "protocol/link/tls/link_error.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"
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

constexpr const char* path_step = "path";
constexpr const char* proxy_step = "proxy";
/// More than a packet has anywhere but on a link of jumbo frames, which are no path.
constexpr std::size_t path_bytes = 9000;
constexpr std::chrono::milliseconds path_time{4000};
constexpr std::chrono::milliseconds path_pause{20};

/// How often it is looked for a handshake that does not get out, and how often TCP has sent its
/// beginning again by then: some three seconds.
constexpr std::chrono::milliseconds handshake_pause{100};
constexpr std::uint32_t swallowed_after = 4;
constexpr std::uint32_t ip_and_tcp_headers = 52; ///< Of IPv4, with timestamps.

class examination final : session_driver::delegate, link::owner, stream_owner {
  public:
    examination(const link_recipe& recipe, const server_entry& server, socks5::request request)
        : recipe_(recipe),
          server_(server),
          request_(std::move(request)),
          budget_(256U << 20),
          thread_(budget_),
          resolver_(thread_.context(), thread_.clock(), {.search_short_names = true}),
          services_{thread_.context(), thread_.clock(), resolver_, 250ms, false},
          limit_(thread_.clock(), [this] { on_limit(); }),
          look_(thread_.clock(), [this] { look(); }) {}

    bool run() {
        std::printf("%s\n", to_string(server_.address).c_str());
        begin("name", server_.via ? "check the spelling of \"via\" and this machine's DNS "
                                    "(/etc/resolv.conf)"
                                  : "check the spelling of \"server\" and this machine's DNS "
                                    "(/etc/resolv.conf)");
        resolver_.resolve(first_hop().host,
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
    void begin(const char* step, const char* hint, std::chrono::milliseconds allowed = 10s) {
        step_ = step;
        hint_ = hint;
        began_ = std::chrono::steady_clock::now();
        allowed_ = allowed;
        limit_.expires_after(allowed);
    }
    double since_begin() const {
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began_)
            .count();
    }
    static void print_pass(const char* step, double took, const std::string& what) {
        std::printf("  ok    %-8s %8.1f ms  %s\n", step, took, what.c_str());
    }
    void pass(const std::string& what) { print_pass(step_, since_begin(), what); }
    /// A step that may yet turn out to have failed: TLS 1.3 is up at the client before the server
    /// has seen the client's certificate.
    void pass_unless_refused(const std::string& what) {
        took_ = since_begin();
        unproven_ = what;
    }
    void prove() {
        if (!unproven_.empty()) print_pass("TLS", took_, unproven_);
        unproven_.clear();
    }
    void fail(const std::string& why, const std::string& hint) {
        if (over_) return;
        prove();
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
        dial();
    }

    void dial() {
        begin("TCP", "is the server running, is the port right, does a firewall let it through?");
        connect_options options;
        options.timeout = recipe_.settings.timeouts.connect;
        link_options sockets;
        sockets.segment_max = segment_limit::steps[segments_];
        options.before_connect = [sockets](int descriptor) {
            set_link_options(descriptor, sockets);
        };
        dialing_ =
            connect_to_host(services_, first_hop().host, first_hop().port, std::move(options),
                            [this](std::error_code failed, tcp_socket socket) {
                                on_connected(failed, std::move(socket));
                            });
    }

    const host_port& first_hop() const {
        return server_.via ? server_.via->address : server_.address;
    }

    void pass_proxy(tcp_socket socket) {
        begin(proxy_step, "", recipe_.settings.timeouts.connect);
        limit_.cancel(); // It has one of its own.
        passing_ = new via_connection(thread_.clock(), std::move(socket), *server_.via,
                                      server_.address, recipe_.settings.timeouts.connect,
                                      [this](const dial_failure& failure, tcp_socket through) {
                                          passing_.reset();
                                          if (failure) return fail(failure.what, failure.cure);
                                          if (segments_ == 0)
                                              pass(to_string(*server_.via) + " has connected to " +
                                                   to_string(server_.address));
                                          secure(std::move(through));
                                      });
        const auto started = passing_;
        started->begin();
    }

    void on_connected(std::error_code error, tcp_socket socket) {
        if (error && server_.via) {
            const auto why = why_not_connected(server_.via, error);
            return fail(why.what, why.cure);
        }
        if (error) return fail(error.message(), hint_);
        if (segments_ == 0)
            pass(server_.via ? "connected to the proxy " + to_string(*server_.via) : "connected");
        if (server_.via) return pass_proxy(std::move(socket));
        secure(std::move(socket));
    }

    void secure(tcp_socket socket) {
        begin("TLS", "another program listens there, or the path drops large packets",
              recipe_.settings.timeouts.handshake);
        link_ = new link(thread_, std::move(socket), make_engine(recipe_, server_));
        link_->start(*this);
        look_.expires_after(handshake_pause);
    }

    /// Whether the server's TCP has what the handshake begins with, which may be more than the path
    /// lets through at once. The server's own limit is about to pass as well.
    void look_at_handshake() {
        const auto path = link_->path();
        if (path.in_flight > 0 && path.timeouts >= swallowed_after && dial_smaller()) return;
        look_.expires_after(handshake_pause);
    }

    /// Tries the handshake, which may be too large for the path, with smaller packets; false where
    /// there are none.
    bool dial_smaller() {
        if (!link_ || segments_ + 1 >= segment_limit::steps.size()) return false;
        std::exchange(link_, nullptr)->abort();
        ++segments_;
        dial();
        return true;
    }

    void on_limit() {
        if (dial_smaller()) return;
        if (step_ == path_step) return on_path_looked_at(false);
        fail("no answer within " + format_duration(allowed_), hint_);
    }

    void on_link_up(link& from) override {
        if (segments_ > 0)
            warn("the TLS handshake gets through with TCP segments of at most " +
                 std::to_string(segment_limit::steps[segments_]) +
                 " bytes only: large packets seem to vanish on the way");
        pass_unless_refused(from.engine() ? from.engine()->agreed()
                                          : "off (\"tls.enabled\" is false)");
        begin("token", alike_cure, recipe_.settings.timeouts.handshake);
        driver_ = new session_driver(
            thread_, make_session_settings(recipe_.settings, thread_, false), *this);
        driver_->start(std::exchange(link_, nullptr));
    }

    void on_link_down(link&, std::error_code error, const std::string& text) override {
        link_.reset();
        fail(text, tls_cure(error));
    }

    void on_established(session_driver& from) override {
        prove();
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
            fail_request(rep, target);
        if (over_) return;
        if (proof)
            std::puts(
                "  --    names    the server's own DNS was not tried: --target HOST:PORT asks "
                "it for a name that exists");
        driver_->core().release(*std::exchange(asked_, nullptr));
        examine_path();
    }

    /// Sends what fills the largest packets, as something that the server ignores, and looks
    /// whether its TCP gets it.
    void examine_path() {
        begin(path_step, "", path_time);
        const auto on = driver_->current_link();
        if (!on) return stop();
        std::vector<std::uint8_t> filling(path_bytes);
        filling[0] = 0xff;
        awaited_ = on->path().acked_bytes + path_bytes;
        on->send(control_frame(filling));
        on->flush();
        look_.expires_after(path_pause);
    }

    void look() {
        if (link_) return look_at_handshake();
        const auto on = driver_ ? driver_->current_link() : nullptr;
        if (!on || over_ || step_ != path_step) return;
        if (on->path().acked_bytes >= awaited_) return on_path_looked_at(true);
        look_.expires_after(path_pause);
    }

    void on_path_looked_at(bool arrived) {
        const auto on = driver_->current_link();
        const auto size = on ? std::to_string(on->path().segment + ip_and_tcp_headers) : "full";
        const std::string where = server_.via ? "the proxy" : "the server";
        if (arrived)
            pass("packets of " + size + " bytes get through to " + where);
        else
            warn("packets of " + size + " bytes do not get through to " + where +
                 ", smaller ones do");
        examine_kernel();
        stop();
    }

    void examine_kernel() const {
        const auto lacks = kernel_lacks(read_kernel_facts(), recipe_.settings.link.congestion,
                                        driver_->core().rtt());
        for (const auto& each : lacks)
            std::printf("  warn  kernel   %s\n        what to do: %s\n", each.what.c_str(),
                        each.cure.c_str());
    }

    void warn(const std::string& what) {
        std::printf("  warn  %-8s %s\n        what to do: nothing at once, the client does with "
                    "smaller ones. Somewhere on the way is a smaller MTU and a firewall that drops "
                    "ICMP \"fragmentation needed\" (IPv6: \"packet too big\"): let it through, or "
                    "set the MTU of this machine's interface right\n",
                    path_step, what.c_str());
    }

    void fail_request(socks5::reply_code rep, const std::string& target) {
        const std::string reason(socks5::to_text(rep));
        const bool name = request_.dst.type == socks5::address::kind::domain;
        if (rep == socks5::reply_code::not_allowed && barred_)
            fail("the server refused " + target + ": " + reason,
                 "the server says above why: ask who runs it");
        else if (rep == socks5::reply_code::not_allowed)
            fail("the server refused " + target + ": " + reason,
                 "the server's \"destinations\" deny it: allow it there if it should be");
        else if (rep == socks5::reply_code::host_unreachable && name)
            fail("the server could not connect to " + target + ": " + reason,
                 "the server could not resolve or reach it: the server's log at debug says which; "
                 "check the server's dns");
        else
            fail("the server could not connect to " + target + ": " + reason,
                 "the target does not answer the server: try another --target");
    }

    void on_stream_reset(std::error_code why) override {
        driver_->core().release(*std::exchange(asked_, nullptr));
        fail(why.message(), hint_);
    }
    void on_closed(session_driver& from, std::error_code why, const std::string& text) override {
        fail_session(from, why, text);
    }
    void fail_session(session_driver& from, std::error_code why, const std::string& text) {
        const auto& said = from.core().peer_text();
        const auto all = said.empty() ? text : text + ": " + log::escape(said);
        if (unproven_.empty()) return fail(all, "the server's log says why it ended the session");
        if (why == link_errc::certificate_refused) {
            unproven_.clear();
            step_ = "TLS";
            return fail(all, tls_cure(why));
        }
        fail(all, session_cure(why, said, recipe_.tls.has_value()));
    }

    // Not reached in so short a life, or of no interest.
    std::size_t on_link_bytes(link&, bytes_view) override { return 0; }
    void on_link_writable(link&) override {}
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    void on_opened(session_driver& from, stream& opened) override { from.core().release(opened); }
    void on_goaway(session_driver& from) override {
        fail("the server takes no new streams: " + log::escape(from.core().peer_text()),
             "it is stopping: try again later");
    }
    void on_detached(session_driver& from, std::error_code why, const std::string& text) override {
        fail_session(from, why, text);
    }
    void on_attached(session_driver&) override {}
    void on_link_gone(session_driver&, link_number, std::error_code, const std::string&) override {}
    void on_link_wanted(session_driver&) override {}
    using stream_owner::on_notice;
    void on_notice(session_driver&, const stream* about, const notice_frame& told) override {
        // What bars the user is said of the session, and again of each stream that it costs.
        barred_ = about && told.text == said_;
        if (barred_) return;
        if (!about) said_ = told.text;
        std::printf("  --    server   says: %s\n", log::escape(told.text).c_str());
    }
    void on_joined(session_driver&, link_number) override {}
    void on_join_failed(session_driver&, const join_fail_frame&, link_ptr) override {}
    void on_join_lost(session_driver&, std::error_code, const std::string&) override {}
    duration answer_delay(session_driver&, std::error_code) override { return {}; }

    const link_recipe& recipe_;
    const server_entry& server_;
    socks5::request request_;
    memory_budget budget_;
    link_thread thread_;
    resolver resolver_;
    dial_services services_;
    deadline limit_;
    deadline look_; ///< At what has arrived of the handshake, and of what fills the path.
    std::size_t segments_ = 0; ///< The step of segment_limit that is tried.
    std::uint64_t awaited_ = 0;
    std::shared_ptr<happy_eyeballs> dialing_;
    boost::intrusive_ptr<via_connection> passing_;
    link_ptr link_;
    driver_ptr driver_;
    stream* asked_ = nullptr;
    std::string addresses_;
    std::string said_;    ///< By the server, of the whole session.
    bool barred_ = false; ///< Whether that is why it has refused the request.
    /// What TLS said of itself while that is not proven, and the time it took.
    std::string unproven_;
    double took_ = 0;
    const char* step_ = "";
    const char* hint_ = "";
    std::chrono::milliseconds allowed_{};
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
