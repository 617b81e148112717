#include "server/incoming_link.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/log.hpp"
#include "protocol/session/frame_rules.hpp"
#include "protocol/session/proofs.hpp"
#include "server/networks.hpp"
#include "server/served_session.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

/// An idle version 1 client's first frame may be its PING after 15 s.
constexpr auto v1_hello_time = 20s;
constexpr auto parts_time = 5s;
constexpr std::size_t skipped_max = 64 * 1024;

/// How many of the bytes are whole extension frames, in front of the frame that says what this link
/// is; no more than a session takes.
std::size_t extensions_in_front(bytes_view bytes) {
    leading_extensions leading;
    std::size_t used = 0;
    while (bytes.size() - used > frame_header_size) {
        const auto rest = bytes.subspan(used);
        const auto header = decode_header(rest.data());
        const auto size = frame_header_size + header.length;
        if (check_header(header) || header.flags != flag::ctrl || rest.size() < size ||
            rest[frame_header_size] < control_ignorable_from || !leading.take(size))
            break;
        used += size;
    }
    return used;
}

/// Whether a HELLO, or a JOIN, begins here.
bool begins_anew(bytes_view bytes) {
    if (bytes.size() <= frame_header_size) return false;
    const auto header = decode_header(bytes.data());
    const auto type = static_cast<control_type>(bytes[frame_header_size]);
    return header.flags == flag::ctrl && header.stream_id == 0 && header.length > 0 &&
           (type == control_type::hello || type == control_type::join);
}

} // namespace

incoming_link::incoming_link(worker& at, tcp_socket socket, admission::ticket ticket,
                             boost::asio::ip::address peer)
    : worker_(at),
      socket_(std::move(socket)),
      ticket_(std::move(ticket)),
      peer_(std::move(peer)),
      limit_(at.thread().clock(), [this] {
          end(link_ && link_->engine() && !link_->engine()->handshake_done()
                  ? make_error_code(link_errc::tls_handshake_timeout).message()
                  : make_error_code(link_errc::hello_timeout).message());
      }) {}

incoming_link::incoming_link(worker& at, link::parts parts, admission::ticket ticket,
                             boost::asio::ip::address peer)
    : incoming_link(at,
                    tcp_socket(at.context().get_executor(), asio::ip::tcp::v4(), parts.descriptor),
                    std::move(ticket), std::move(peer)) {
    parts_ = std::move(parts);
}

incoming_link::~incoming_link() {
    if (link_) link_->abort();
}

void incoming_link::begin() {
    if (parts_.descriptor >= 0) {
        limit_.expires_after(parts_time);
        link_ = new link(worker_.thread(), std::move(*socket_), std::move(parts_.engine));
        socket_.reset();
        link_->set_trusted(false);
        link_->set_share(worker_.shares().strangers());
        const auto started = link_;
        return started->start_up(*this, std::move(parts_.received));
    }
    // On the way here, perhaps.
    if (ticket_.lost()) return give_way();
    const auto& settings = worker_.now_serving().settings;
    limit_.expires_after(settings.timeouts.handshake);
    if (in_networks(settings.proxy_protocol.from, peer_)) return wait_proxy_header();
    begin_tls_after_pause();
}

void incoming_link::wait_proxy_header() {
    socket_->async_wait(tcp_socket::wait_read,
                        [this, &at = worker_](const boost::system::error_code& error) {
                            if (!error && at.knows(*this)) read_proxy_header();
                        });
}

void incoming_link::read_proxy_header() {
    auto header = parse_proxy_header(proxy_bytes_);
    while (header.result == proxy_header::status::need_more) {
        // No byte more than the header's: what stands behind it is for TLS.
        const auto have = proxy_bytes_.size();
        proxy_bytes_.resize(header.size);
        const auto size = ::recv(socket_->native_handle(), proxy_bytes_.data() + have,
                                 proxy_bytes_.size() - have, MSG_DONTWAIT);
        proxy_bytes_.resize(have + static_cast<std::size_t>(std::max<::ssize_t>(size, 0)));
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait_proxy_header();
        if (size <= 0) return leave();
        header = parse_proxy_header(proxy_bytes_);
    }
    proxy_bytes_ = {};
    if (header.result == proxy_header::status::failed)
        return end("no PROXY protocol version 2 header, which proxy_protocol.from demands of this "
                   "address");
    on_proxy_header(header);
}

void incoming_link::on_proxy_header(const proxy_header& header) {
    health_check_ = header.local;
    // So a load balancer learns that new links must go elsewhere, and leaves the others alone.
    if (health_check_ && worker_.shared().draining) return leave();
    if (header.client) {
        peer_ = *header.client;
        if (!ticket_.move_to(peer_))
            return close("all places for links that have not authenticated are taken "
                         "(limits.unauthenticated, limits.unauthenticated_per_address)");
    }
    begin_tls_after_pause();
}

void incoming_link::begin_tls_after_pause() {
    const auto pause = worker_.shared().admission_of_links->pause(peer_);
    if (pause == 0ms || health_check_) return wait_first_bytes();
    limit_.expires_after(pause + worker_.now_serving().settings.timeouts.handshake);
    pause_ = std::make_unique<deadline>(worker_.thread().clock(), [this] { wait_first_bytes(); });
    pause_->expires_after(pause);
}

/// Whoever says nothing costs a socket, and no TLS.
void incoming_link::wait_first_bytes() {
    socket_->async_wait(tcp_socket::wait_read,
                        [this, &at = worker_](const boost::system::error_code& error) {
                            if (error || !at.knows(*this)) return;
                            ticket_.on_progress(link_progress::shaking_hands);
                            begin_tls();
                        });
}

void incoming_link::begin_tls() {
    const auto& serving = worker_.now_serving();
    v1_allowed_ = in_networks(serving.settings.allow_v1, peer_);
    link_options options;
    options.congestion = serving.settings.link.congestion;
    options.user_timeout =
        serving.settings.keepalive.interval + serving.settings.keepalive.timeout + 10s;
    set_link_options(socket_->native_handle(), options);
    std::optional<tls_engine> engine;
    if (serving.tls) engine.emplace(*serving.tls);
    link_ = new link(worker_.thread(), std::move(*socket_), std::move(engine));
    socket_.reset();
    link_->set_trusted(false);
    link_->set_share(worker_.shares().strangers());
    const auto started = link_;
    started->start(*this);
}

void incoming_link::on_link_up(link&) {
    ticket_.on_progress(link_progress::encrypted);
    const auto& settings = worker_.now_serving().settings;
    if (v1_allowed_)
        limit_.expires_after(v1_hello_time);
    else
        limit_.expires_after(settings.timeouts.handshake);
}

std::size_t incoming_link::skip(bytes_view bytes) {
    std::size_t used = 0;
    while (bytes.size() - used > frame_header_size && !begins_anew(bytes.subspan(used))) {
        const auto size = frame_header_size + decode_header(bytes.data() + used).length;
        if (bytes.size() - used < size) break;
        used += size;
    }
    skipped_ += used;
    return used;
}

std::size_t incoming_link::on_link_bytes(link&, bytes_view bytes) {
    if (join_failed_) {
        const auto skipped = skip(bytes);
        if (skipped_ > skipped_max) {
            end("more than 64 KiB behind a JOIN that failed");
            return bytes.size();
        }
        const auto rest = bytes.subspan(skipped);
        if (!begins_anew(rest)) return skipped;
        if (skipped > 0) return skipped + on_link_bytes(*link_, rest);
    }
    const auto before = extensions_in_front(bytes);
    const auto first = bytes.subspan(before);
    if (first.size() < frame_header_size) return 0;
    const auto header = decode_header(first.data());
    const auto size = frame_header_size + header.length;
    // A version 1 client's first frame may be a header alone.
    const bool control = header.flags == flag::ctrl && header.length > 0;
    if (control && first.size() == frame_header_size) return 0;
    // Of what is not complete no more is kept than HELLO can have.
    const bool extension = control && first[frame_header_size] >= control_ignorable_from;
    if (extension && first.size() < size && size <= leading_extensions::bytes_max) return 0;
    const bool join = control && header.stream_id == 0 &&
                      first[frame_header_size] == static_cast<std::uint8_t>(control_type::join);
    if (!join) {
        // HELLO, version 1, or garbage: a session finds out which, with what came in front of it.
        limit_.cancel();
        const auto on = std::exchange(link_, nullptr);
        const auto ticket_address = peer_;
        auto ticket = std::move(ticket_);
        auto& at = worker_;
        const auto as = join_failed_  ? may_begin_as::begun
                        : v1_allowed_ ? may_begin_as::any_version
                                      : may_begin_as::version_2;
        leave();
        return at.begin_session(on, std::move(ticket), ticket_address, as, bytes);
    }
    const bool too_long = header.length > hello_frame::size_max;
    if (first.size() < size && !too_long) return 0;
    const auto frame =
        too_long ? std::nullopt : decode_join(first.subspan(frame_header_size, header.length));
    if (!frame) {
        end("a JOIN frame with fields that do not fit");
        return bytes.size();
    }
    if (join_failed_) {
        end("a second JOIN on the same link");
        return bytes.size();
    }
    return on_join(*frame, bytes, before + size);
}

std::size_t incoming_link::on_join(const join_frame& frame, bytes_view bytes, std::size_t size) {
    auto& serving = worker_.shared().registry.find(frame.id);
    if (&serving != &worker_) {
        // Its session lives in another thread: the link moves there, with everything it has read.
        limit_.cancel();
        auto parts = std::exchange(link_, nullptr)->take_apart(bytes);
        serving.take(std::move(parts), std::move(ticket_), peer_);
        leave();
        return bytes.size();
    }
    const auto found = worker_.find_session(frame.id);
    if (!found && worker_.shared().moving) {
        close("its session is on its way to another process");
        return bytes.size();
    }
    if (!found || !found->may_join(*link_)) {
        // The same work as for a wrong proof, so that time does not tell which ids exist.
        static const auto crypto = session_crypto();
        static const session_proofs dummy(crypto);
        const auto proof = dummy.join_proof(frame.number, link_->exporter());
        (void)equal_in_constant_time(proof, frame.proof);
        return size + fail_join({join_failure::unknown_session, 0}, bytes.subspan(size));
    }
    const auto joining = link_;
    std::size_t used = 0;
    if (const auto failure = found->join(joining, peer_, frame, bytes.subspan(size), used))
        return size + fail_join(*failure, bytes.subspan(size));
    // Its proof is as good as a token.
    worker_.shared().admission_of_links->on_success(peer_);
    limit_.cancel();
    link_.reset();
    leave();
    return size + used;
}

std::size_t incoming_link::fail_join(const join_fail_frame& failure, bytes_view behind) {
    // The client may begin a new session on the same link, which costs it no second limit.
    join_failed_ = true;
    limit_.expires_after(worker_.now_serving().settings.timeouts.handshake);
    link_->send(control_frame(encode(failure)));
    link_->flush();
    return link_ ? on_link_bytes(*link_, behind) : 0;
}

void incoming_link::on_link_down(link&, std::error_code, const std::string& text) {
    link_.reset();
    if (!health_check_) worker_.shared().admission_of_links->on_silent_end(peer_);
    if (health_check_)
        log::debug("health check from {} ended: {}", peer_.to_string(), text);
    else
        log::info(log::kind{"links that ended before they authenticated"},
                  "link from {} ended before it authenticated: {}", peer_.to_string(), text);
    leave();
}

void incoming_link::give_way() {
    close("it gave its place to a newer one (limits.unauthenticated, "
          "limits.unauthenticated_per_address)");
}

void incoming_link::end(const std::string& why) {
    if (!health_check_) worker_.shared().admission_of_links->on_silent_end(peer_);
    close(why);
}

void incoming_link::close(const std::string& why) {
    log::info(log::kind{"links closed before they authenticated"}, "link from {} closed: {}",
              peer_.to_string(), why);
    if (link_) std::exchange(link_, nullptr)->close();
    leave();
}

void incoming_link::leave() {
    if (left_) return;
    left_ = true;
    ticket_ = {};
    limit_.cancel();
    worker_.forget(*this);
}

} // namespace muxsocks::server
