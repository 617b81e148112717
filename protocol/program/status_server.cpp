#include "protocol/program/status_server.hpp"

#include "protocol/program/listen.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/status_answer.hpp"
#include "protocol/program/status_history.hpp"
#include "protocol/program/status_json.hpp"
#include "protocol/program/status_socket.hpp"
#include "protocol/program/values.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace muxsocks {
namespace {

namespace http = boost::beast::http;
using namespace std::chrono_literals;

using stream_socket = asio::basic_stream_socket<asio::generic::stream_protocol, executor>;
using listening_socket = asio::posix::basic_stream_descriptor<executor>;

constexpr std::size_t connections_max = 50;
constexpr std::size_t watchers_max = 10;
constexpr std::size_t header_max = 8192;
constexpr auto request_time = 10s;
constexpr auto idle_time = 60s;
constexpr auto write_time = 30s;
constexpr auto watch_interval = 1s;
constexpr auto time_between_tries = 100ms;
constexpr std::size_t tries_at_a_hand_over = 100;
constexpr auto pause_without_files = 1s;

/// The page has no script or style but its own, and nobody frames it.
constexpr const char* security_policy =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

} // namespace

class status_server::state {
  public:
    state(asio::io_context& context, deadlines& clock, status_source& source)
        : context_(context),
          clock_(clock),
          source_(source),
          retry_(clock, [this] { try_again(); }),
          sample_(clock, [this] { take_sample(); }) {}
    ~state() { close(); }

    void open(const status_settings& settings);
    void open_when_free(const status_settings& settings);
    void move_to(const status_settings& settings);
    void close();

  private:
    class connection;

    struct listener {
        listener(state& owner, const status_address& at)
            : address(at),
              socket(owner.context_.get_executor(), open_status_socket(at)),
              pause(owner.clock_, [&owner, this] { owner.accept(*this); }) {}

        status_address address;
        listening_socket socket;
        deadline pause; ///< After an error that would come again at once, as too few files.
    };

    void listen(const status_address& address);
    void open_all();
    void try_again();
    void take_sample();
    void accept(listener& on);
    bool take_all(listener& on);
    void close_listeners();
    void forget(const std::shared_ptr<connection>& one) { connections_.erase(one); }

    asio::io_context& context_;
    deadlines& clock_;
    status_source& source_;
    status_settings settings_;
    std::vector<std::unique_ptr<listener>> listeners_;
    std::set<std::shared_ptr<connection>> connections_;
    std::size_t watchers_ = 0;
    deadline retry_; ///< Of open_when_free().
    std::size_t tries_left_ = 0;
    status_history history_;
    deadline sample_; ///< Of the history.
};

// ---- One connection

class status_server::state::connection : public std::enable_shared_from_this<connection> {
  public:
    connection(state& owner, int descriptor, bool local)
        : owner_(owner),
          local_(local),
          socket_(owner.context_.get_executor(),
                  asio::generic::stream_protocol(local ? AF_UNIX : AF_INET, 0), descriptor),
          limit_(owner.clock_, [this] { close_soon(); }),
          tick_(owner.clock_, [this] { watch(); }) {}

    void read();
    void close();

  private:
    using request_type = http::request<http::string_body>;
    using response_type = http::response<http::string_body>;

    /// Not from within the deadline's own handler, which this may be.
    void close_soon() {
        asio::post(owner_.context_, [self = shared_from_this()] { self->close(); });
    }
    void on_request(const request_type& request);
    void answer(const request_type& request);
    void send(status_answer answer);
    void send_history();
    void begin_watch();
    void watch();
    void write_event(const std::string& text);

    state& owner_;
    bool local_;
    stream_socket socket_;
    boost::beast::flat_buffer buffer_{header_max * 2};
    std::optional<http::request_parser<http::string_body>> parser_;
    response_type response_;
    std::string event_;
    unsigned version_ = 11;
    bool keep_alive_ = false;
    bool head_ = false;
    bool watching_ = false;
    bool closed_ = false;
    deadline limit_;
    deadline tick_;
};

void status_server::state::connection::read() {
    parser_.emplace();
    parser_->header_limit(header_max);
    parser_->body_limit(0);
    limit_.expires_after(keep_alive_ ? std::chrono::nanoseconds(idle_time)
                                     : std::chrono::nanoseconds(request_time));
    http::async_read(socket_, buffer_, *parser_,
                     [self = shared_from_this()](const boost::system::error_code& error, auto) {
                         if (self->closed_) return;
                         self->limit_.cancel();
                         if (error) return self->close();
                         self->on_request(self->parser_->get());
                     });
}

void status_server::state::connection::on_request(const request_type& request) {
    version_ = request.version();
    keep_alive_ = request.keep_alive();
    head_ = request.method() == http::verb::head;
    const auto host = request[http::field::host];
    const auto authorization = request[http::field::authorization];
    const status_question asked{std::string(request.method_string()),
                                std::string(request.target()),
                                std::string(host),
                                std::string(authorization),
                                local_,
                                local_ && is_own_user(socket_.native_handle())};
    auto refused = refuse(asked, owner_.settings_);
    if (refused) return send(std::move(*refused));
    if (asked.target == status_live_target && !head_) return begin_watch();
    if (asked.target == status_history_target) return send_history();
    ::muxsocks::answer(asked, owner_.source_, [self = shared_from_this()](status_answer made) {
        if (!self->closed_) self->send(std::move(made));
    });
}

void status_server::state::connection::send_history() {
    owner_.source_.write([past = std::make_shared<const status_history>(
                              owner_.history_)] { return status_json::history(*past); },
                         [self = shared_from_this()](std::string text) {
                             if (!self->closed_)
                                 self->send({200, "application/json", std::move(text), {}});
                         });
}

void status_server::state::connection::send(status_answer answer) {
    response_ = {};
    response_.version(version_);
    response_.result(answer.status);
    response_.set(http::field::content_type, answer.type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("Content-Security-Policy", security_policy);
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set("Referrer-Policy", "no-referrer");
    for (const auto& [name, value] : answer.fields)
        response_.set(name, value);
    response_.keep_alive(keep_alive_);
    const auto size = answer.body.size();
    if (!head_) response_.body() = std::move(answer.body);
    response_.content_length(size);
    limit_.expires_after(write_time);
    http::async_write(socket_, response_,
                      [self = shared_from_this()](const boost::system::error_code& error, auto) {
                          if (self->closed_) return;
                          self->limit_.cancel();
                          if (error || !self->keep_alive_) return self->close();
                          self->read();
                      });
}

/// Server-sent events, one a second, until the reader goes.
void status_server::state::connection::begin_watch() {
    if (owner_.watchers_ >= watchers_max) return send(error_answer(503, "too many watch already"));
    ++owner_.watchers_;
    watching_ = true;
    socket_.async_wait(stream_socket::wait_read,
                       [self = shared_from_this()](const auto&) { self->close(); });
    event_ = std::string("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                         "Connection: close\r\nContent-Security-Policy: ") +
             security_policy + "\r\n\r\n";
    watch();
}

void status_server::state::connection::watch() {
    live_answer(owner_.source_, [self = shared_from_this()](const std::string& text) {
        if (!self->closed_) self->write_event(text);
    });
}

void status_server::state::connection::write_event(const std::string& text) {
    // The document has one line, with its end.
    event_ += "data: " + text + "\n";
    limit_.expires_after(write_time);
    asio::async_write(socket_, asio::buffer(event_),
                      [self = shared_from_this()](const boost::system::error_code& error, auto) {
                          if (self->closed_) return;
                          self->limit_.cancel();
                          if (error) return self->close();
                          self->event_.clear();
                          self->tick_.expires_after(watch_interval);
                      });
}

void status_server::state::connection::close() {
    if (std::exchange(closed_, true)) return;
    if (watching_) --owner_.watchers_;
    limit_.cancel();
    tick_.cancel();
    boost::system::error_code ignored;
    socket_.shutdown(stream_socket::shutdown_both, ignored);
    socket_.close(ignored);
    owner_.forget(shared_from_this());
}

// ---- Listening

void status_server::state::open(const status_settings& settings) {
    settings_ = settings;
    try {
        open_all();
    } catch (const std::exception& error) {
        if (settings_.listen) throw;
        log::warning("{}; metrics and status are left out (status.listen)", error.what());
    }
}

void status_server::state::open_all() {
    if (settings_.listen) {
        for (const auto& address : *settings_.listen)
            listen(address);
    } else if (const auto path = default_status_socket(source_.facts().role)) {
        listen({*path, {}});
    }
}

void status_server::state::open_when_free(const status_settings& settings) {
    settings_ = settings;
    tries_left_ = tries_at_a_hand_over;
    try_again();
}

void status_server::state::try_again() {
    try {
        open_all();
    } catch (const std::exception& error) {
        close_listeners();
        if (tries_left_ > 0) {
            --tries_left_;
            return retry_.expires_after(time_between_tries);
        }
        log::error("{}; metrics and status are left out (status.listen)", error.what());
    }
}

void status_server::state::move_to(const status_settings& settings) {
    if (settings_.listen == settings.listen) {
        settings_ = settings; // Also for what retry_ tries.
        return;
    }
    close();
    try {
        open(settings);
    } catch (const std::exception& error) {
        log::error("{}", error.what());
    }
}

/// While it listens; who asks sees the ten minutes before, too.
void status_server::state::take_sample() {
    source_.show({sessions_live, 0}, [this](const snapshot& now) {
        history_.add(source_.facts().role, now, std::chrono::steady_clock::now());
        if (!listeners_.empty()) sample_.expires_after(status_history::interval);
    });
}

void status_server::state::listen(const status_address& address) {
    if (!sample_.is_set()) sample_.expires_after({});
    listeners_.push_back(std::make_unique<listener>(*this, address));
    log::info("listening for status on {}", to_string(address));
    accept(*listeners_.back());
}

void status_server::state::accept(listener& on) {
    on.socket.async_wait(listening_socket::wait_read,
                         [this, at = &on](const boost::system::error_code& error) {
                             if (error) return;
                             if (take_all(*at)) return accept(*at);
                             at->pause.expires_after(pause_without_files);
                         });
}

/// Returns whether more can be waited for at once.
bool status_server::state::take_all(listener& on) {
    for (;;) {
        const int descriptor = accept_one(on.socket.native_handle());
        if (descriptor < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (descriptor < 0) return errno == EAGAIN;
        if (connections_.size() >= connections_max) {
            ::close(descriptor);
            continue;
        }
        const auto made = std::make_shared<connection>(*this, descriptor, !on.address.tcp);
        connections_.insert(made);
        made->read();
    }
}

void status_server::state::close_listeners() {
    for (const auto& each : listeners_) {
        boost::system::error_code ignored;
        each->pause.cancel();
        each->socket.close(ignored);
        remove_status_socket(each->address);
    }
    // Handlers of the closed ones name them.
    auto gone = std::make_shared<std::vector<std::unique_ptr<listener>>>(std::move(listeners_));
    listeners_.clear();
    asio::post(context_, [gone] {});
}

void status_server::state::close() {
    retry_.cancel();
    sample_.cancel();
    close_listeners();
    for (const auto& each : std::set<std::shared_ptr<connection>>(connections_))
        each->close();
}

// ---- The server

status_server::status_server(asio::io_context& context, deadlines& clock, status_source& source)
    : state_(std::make_unique<state>(context, clock, source)) {}

status_server::~status_server() = default;

void status_server::open(const status_settings& settings) { state_->open(settings); }
void status_server::open_when_free(const status_settings& settings) {
    state_->open_when_free(settings);
}
void status_server::move_to(const status_settings& settings) { state_->move_to(settings); }
void status_server::close() { state_->close(); }

} // namespace muxsocks
