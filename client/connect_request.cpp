#include "client/connect_request.hpp"

#include "client/direct_relay.hpp"
#include "protocol/link/loop/let_go.hpp"
#include "protocol/link/loop/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <cerrno>

namespace muxsocks::client {
namespace {

std::vector<std::uint8_t> request_for(socks5::command cmd, const socks5::address& target) {
    std::vector<std::uint8_t> bytes;
    append(bytes, socks5::request{cmd, target});
    return bytes;
}

socks5::address address_of(const asio::ip::tcp::endpoint& at) {
    const auto ip = at.address();
    return ip.is_v4() ? socks5::address::from_ipv4(ip.to_v4().to_bytes(), at.port())
                      : socks5::address::from_ipv6(ip.to_v6().to_bytes(), at.port());
}

} // namespace

connect_request::connect_request(link_thread& thread, tcp_socket socket,
                                 const socks5::address& target, std::vector<std::uint8_t> early,
                                 const answer_language& language, socks5::command cmd)
    : thread_(thread),
      socket_(std::move(socket)),
      request_(request_for(cmd, target)),
      early_(std::move(early)),
      language_(&language) {
    if (log::enabled(log_level::debug) || log::destinations_shown())
        destination = socks5::to_string(target);
}

void connect_request::begin(driver_ptr driver, request_sink& sink) {
    end_watch_.stop(socket_);
    const boost::intrusive_ptr<client_relay> relay(
        new client_relay(std::move(driver), this, std::move(socket_), sink));
    relay->begin();
}

void connect_request::refuse(const refusal& why) {
    end_watch_.drop();
    thread_.counters().on_reply(static_cast<std::uint8_t>(why.rep));
    log::debug("request for {} answered with REP {:#04x} ({})", destination,
               static_cast<unsigned>(why.rep), socks5::to_text(why.rep));
    if (language_->is_unheard()) return close_with_reset(socket_);
    close_lingering(thread_.clock(), std::move(socket_), language_->refused(why));
}

std::optional<socks5::address> connect_request::target() const {
    return socks5::parse_request(request_).value.dst;
}

connect_request::wish connect_request::asks_for() const {
    const auto cmd = socks5::parse_request(request_).value.cmd;
    if (cmd == socks5::command::resolve) return wish::address;
    return cmd == socks5::command::resolve_ptr ? wish::name : wish::connection;
}

void connect_request::begin_direct(tcp_socket target, direct_dialer& by) {
    end_watch_.stop(socket_);
    thread_.counters().on_reply(0);
    boost::system::error_code gone;
    const auto words = language_->granted(address_of(target.local_endpoint(gone)));
    const boost::intrusive_ptr<direct_relay> relay(
        new direct_relay(by, std::move(socket_), std::move(target), destination));
    relay->start(words, early_);
}

void connect_request::tell(const socks5::address& found) {
    end_watch_.stop(socket_);
    thread_.counters().on_reply(0);
    close_lingering(thread_.clock(), std::move(socket_), language_->granted(found));
}

// ---- A hand-over

template <class Fields>
bool connect_request::each_field(Fields& fields) {
    auto language = language_->which();
    auto left = patience();
    fields(language, request_, early_, tries, left, destination);
    const auto known = find_language(language);
    if (known) language_ = known;
    set_patience(left);
    return known != nullptr;
}

std::vector<std::uint8_t> connect_request::save() {
    field_saver fields;
    each_field(fields);
    return std::move(fields.bytes());
}

boost::intrusive_ptr<connect_request> connect_request::load(link_thread& thread, bytes_view state) {
    const boost::intrusive_ptr<connect_request> made(new connect_request(thread));
    field_loader fields(state);
    const bool whole = made->each_field(fields) && fields.done();
    return whole ? made : nullptr;
}

bool connect_request::save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    if (!socket_.is_open()) return false;
    state.push_back(static_cast<std::uint8_t>(movable_kind::connect));
    const auto all = save();
    state.insert(state.end(), all.begin(), all.end());
    sockets.push_back(socket_.native_handle());
    return true;
}

void connect_request::on_connection_gone() {
    end_watch_.drop();
    let_go(socket_);
}

// ---- The wait for a link

void connect_request::watch(std::function<void()> gone) {
    if (outlives_half_close()) return;
    end_watch_.start(socket_, std::move(gone));
}

// ---- The relay

client_relay::client_relay(driver_ptr driver, request_type request, tcp_socket socket,
                           request_sink& sink)
    : relay(std::move(driver), std::move(socket), sink.stream_timeouts()),
      sink_(sink),
      destination_(request->destination),
      is_unheard_(request->language().is_unheard()) {
    opening_ = std::make_unique<opening_state>(std::move(request), driver_->thread().clock(),
                                               [this] { on_wait_over(); });
}

client_relay::client_relay(driver_ptr driver, tcp_socket socket, request_sink& sink,
                           std::uint8_t rep, std::string destination)
    : relay(std::move(driver), std::move(socket), sink.stream_timeouts()),
      sink_(sink),
      destination_(std::move(destination)),
      rep_(rep) {}

void client_relay::begin() {
    const auto& request = *opening_->request;
    auto& s = driver_->open(request.request(), *this);
    if (!request.early().empty()) driver_->core().write(s, request.early());
    opening_->wait.expires_at(request.give_up);
    start(s);
}

void client_relay::on_notice(const notice_frame& told) {
    if (opening_) opening_->told = log::escape(told.text);
}

bool client_relay::on_first_bytes(std::span<const bytes_view> bytes) {
    if (!opening_) return true;
    // Nearly always the reply is one view; one that is cut is put together.
    std::vector<std::uint8_t> joined;
    auto input = bytes[0];
    if (bytes.size() > 1) {
        for (const auto& each : bytes)
            joined.insert(joined.end(), each.begin(), each.end());
        input = joined;
    }
    const auto parsed = socks5::parse_reply(input);
    if (parsed.status == socks5::parse_status::need_more && !stream_->fin_received) return false;
    if (parsed.status != socks5::parse_status::done) {
        on_no_reply();
        return false;
    }
    rep_ = parsed.value.rep;
    driver_->thread().counters().on_reply(rep_);
    id_ = stream_->id;
    if (parsed.value.code() == socks5::reply_code::succeeded)
        driver_->core().on_connected(*stream_);
    const auto request = std::move(opening_->request);
    const auto told = std::move(opening_->told);
    opening_.reset();
    if (request->language().passes_replies()) return true;
    const auto& reply = parsed.value;
    const auto& language = request->language();
    if (is_unheard_ && reply.code() != socks5::reply_code::succeeded) {
        end_unheard();
        return false;
    }
    const auto words = reply.code() == socks5::reply_code::succeeded
                           ? language.granted(reply.bnd)
                           : language.refused({reply.code(), told});
    replace_reply(parsed.used, words);
    return false;
}

/// The socket gets `words` instead of the stream's first `used` bytes, and then what follows them.
void client_relay::replace_reply(std::size_t used, bytes_view words) {
    // The socket has never been written to, so it takes them whole; if not, it is broken, and what
    // comes next finds that out.
    (void)::send(socket_.native_handle(), words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    bytes_down_ += used;
    driver_->consume(*stream_, used);
    on_stream_readable();
}

void client_relay::end_unheard() {
    const boost::intrusive_ptr<client_relay> self(this);
    driver_->core().reset(*stream_, reset_code::cancelled);
    close_with_reset(socket_);
    end(errc::stream_cancelled);
}

void client_relay::on_no_reply() {
    const boost::intrusive_ptr<client_relay> self(this);
    const auto request = std::move(opening_->request);
    request->take_back(std::move(socket_));
    driver_->core().reset(*stream_, reset_code::cancelled);
    end(errc::stream_internal);
    request->refuse(refusals::no_reply);
}

bool client_relay::on_stream_end() {
    if (opening_) {
        on_no_reply();
        return true;
    }
    if (rep_ == static_cast<std::uint8_t>(socks5::reply_code::succeeded)) return false;
    // A refusal is the end of the connection, whether or not the application closes it.
    const boost::intrusive_ptr<client_relay> self(this);
    driver_->core().finish(*stream_);
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    close_lingering(driver_->thread().clock(), std::move(socket_), {});
    end({});
    return true;
}

bool client_relay::on_reset_before_bytes(std::error_code why) {
    const auto opening = std::move(opening_);
    if (!opening) return false;
    auto& request = *opening->request;
    request.take_back(std::move(socket_));
    if (why == errc::stream_refused) request.refused_by.push_back(driver_->core().id());
    if (can_go_elsewhere(why, request) && ++request.tries < pending_request::tries_max &&
        std::chrono::steady_clock::now() < request.give_up)
        sink_.submit(opening->request);
    else
        request.refuse(why == errc::stream_denied ? refusals::denied : refusals::no_reply);
    return true;
}

bool client_relay::can_go_elsewhere(std::error_code why, const connect_request& request) const {
    // What the stream has taken from the socket is gone with it.
    if (bytes_up_ > 0) return false;
    if (!stream_->opened() || why == errc::stream_refused || why == errc::going_away) return true;
    // The session is over and nobody knows how far the request came: it may be sent again as long
    // as the target can have had nothing but a connection.
    return driver_->core().closed() && why != errc::authentication_failed &&
           request.early().empty();
}

void client_relay::on_wait_over() {
    if (!stream_ || stream_->opened()) return;
    // Not from here: the deadline must outlive its own handler.
    asio::post(driver_->thread().context(), [self = boost::intrusive_ptr<client_relay>(this)] {
        if (!self->stream_ || self->stream_->opened() || !self->opening_) return;
        const auto request = std::move(self->opening_->request);
        request->take_back(std::move(self->socket_));
        self->end(errc::stream_timeout);
        request->refuse(refusals::no_link);
    });
}

// ---- A hand-over of its session

void client_relay::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    if (!socket_.is_open()) return;
    // kind u8 | the relay's own | REP u8 | destination, or the request that waits for its reply
    state.push_back(static_cast<std::uint8_t>(opening_ ? stream_kind::opening : stream_kind::open));
    relay::save(state, sockets);
    state.push_back(rep_);
    const auto rest = opening_ ? opening_->request->save() : std::vector<std::uint8_t>();
    state.insert(state.end(), rest.begin(), rest.end());
    if (!opening_) state.insert(state.end(), destination_.begin(), destination_.end());
}

bool client_relay::resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                          request_sink& sink) {
    constexpr auto head = 1 + state_size + 1;
    if (state.size() < head || socket < 0) return false;
    const auto rest = state.subspan(head);
    const auto rep = state[head - 1];
    boost::intrusive_ptr<client_relay> made;
    const auto own = [&] {
        return tcp_socket(driver->thread().context().get_executor(), asio::ip::tcp::v4(), socket);
    };
    if (state[0] == static_cast<std::uint8_t>(stream_kind::opening)) {
        auto request = connect_request::load(driver->thread(), rest);
        if (!request) return false;
        made = new client_relay(driver, std::move(request), own(), sink);
        made->opening_->wait.expires_at(made->opening_->request->give_up);
    } else if (state[0] == static_cast<std::uint8_t>(stream_kind::open)) {
        made = new client_relay(driver, own(), sink, rep, std::string(rest.begin(), rest.end()));
        made->id_ = s.id;
    } else {
        return false;
    }
    made->relay::resume(s, state.subspan(1, state_size));
    return true;
}

// ---- What is told of it

void client_relay::describe(shown_stream& to) const {
    relay::describe(to);
    if (log::destinations_shown()) to.destination = destination_;
}

void client_relay::on_ended(std::error_code why) {
    if (!log::enabled(log_level::debug) || rep_ == no_reply) return;
    const auto seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    log::debug(log::because{to_string(stream_end_of(why))},
               "stream {} to {} ended: REP {:#04x}, {} bytes up, {} bytes down, {:.3f} s, {}", id_,
               destination_, rep_, bytes_up_, bytes_down_, seconds,
               why ? why.message() : "both directions finished");
}

} // namespace muxsocks::client
