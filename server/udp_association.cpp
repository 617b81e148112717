#include "server/udp_association.hpp"

#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"
#include "server/target_connection.hpp"
#include "socks5/message.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace muxsocks::server {
namespace {

using udp_self = boost::intrusive_ptr<udp_association>;

/// ATYP, address, port.
constexpr std::size_t v4_address_size = 1 + 4 + 2;
constexpr std::size_t v6_address_size = 1 + 16 + 2;
/// Datagrams that one turn passes over, dropped ones, before others have theirs.
constexpr int looks_max = 64;

asio::ip::address ip_of(const socks5::address& one) {
    if (one.type == socks5::address::kind::ipv6) {
        const asio::ip::address_v6 v6(one.ip);
        if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6);
        return v6;
    }
    return asio::ip::address_v4({one.ip[0], one.ip[1], one.ip[2], one.ip[3]});
}

} // namespace

udp_association::udp_association(driver_ptr driver, name_lookups& names,
                                 const udp_settings& settings, udp_rules rules,
                                 user_account_ptr user, udp_places places)
    : driver_(std::move(driver)),
      lookups_(names),
      settings_(settings),
      rules_(std::move(rules)),
      user_(std::move(user)),
      places_(std::move(places)),
      socket_(driver_->thread().context().get_executor()),
      idle_(driver_->thread().clock(), [this] { on_idle(); }) {}

void udp_association::begin(stream& s) {
    stream_ = &s;
    s.context = static_cast<stream_owner*>(this);
    kept_ = this;
    const auto port = socket_.local().port();
    driver_->core().on_connected(s);
    driver_->core().write(
        s, socks5::encode(socks5::make_reply(socks5::reply_code::succeeded,
                                             socks5::address::from_ipv4({0, 0, 0, 0}, port))));
    touch();
    idle_.expires_after(settings_.idle);
    wait_readable();
}

// ---- From the outside into the stream

void udp_association::wait_readable() {
    if (waiting_ || !socket_.is_open()) return;
    waiting_ = true;
    socket_.async_wait([self = udp_self(this)](const boost::system::error_code& error) {
        self->waiting_ = false;
        if (error || !self->stream_) return;
        self->driver_->core().datagrams_lane().on_readable(*self->stream_);
    });
}

std::size_t udp_association::lay_address(bytes_span place, std::size_t room, std::size_t bytes,
                                         const endpoint& from) {
    const bool v4 = from.address().is_v4();
    const auto size = v4 ? v4_address_size : v6_address_size;
    if (size != room) std::memmove(place.data() + size, place.data() + room, bytes);
    place[0] = v4 ? 1 : 4;
    if (v4) {
        const auto ip = from.address().to_v4().to_bytes();
        std::copy(ip.begin(), ip.end(), place.begin() + 1);
    } else {
        const auto ip = from.address().to_v6().to_bytes();
        std::copy(ip.begin(), ip.end(), place.begin() + 1);
    }
    store_u16(place.data() + size - 2, from.port());
    return size + bytes;
}

stream_owner::datagram_result udp_association::read_datagram(bytes_span place) {
    if (!socket_.is_open() || place.size() < 2 * v6_address_size) return {};
    const auto now = std::chrono::steady_clock::now();
    for (int looks = 0; looks < looks_max; ++looks) {
        const auto room = last_was_v4_ ? v4_address_size : v6_address_size;
        // So that a longer address than the one that is guessed finds room, too.
        const auto into = place.subspan(room, place.size() - v6_address_size);
        const auto got = socket_.receive({}, into, settings_.max_delay);
        if (got.what == datagram_socket::outcome::none) {
            wait_readable();
            return {};
        }
        if (got.what != datagram_socket::outcome::taken) {
            ++too_old_;
            continue;
        }
        if (!rules_.may_receive(got.from, now)) {
            ++denied_;
            continue;
        }
        last_was_v4_ = got.from.address().is_v4();
        ++down_;
        moved_ = now;
        return {lay_address(place, room, got.bytes, got.from), true};
    }
    return {0, true};
}

// ---- From the stream to the outside

bool udp_association::on_datagram(bytes_view bytes) {
    if (!socket_.is_open()) return false;
    const auto to = socks5::parse_address(bytes);
    if (to.status != socks5::parse_status::done) return false;
    touch();
    const auto payload = bytes.subspan(to.used);
    if (to.value.type != socks5::address::kind::domain)
        return collect(payload, {ip_of(to.value), to.value.port});
    send_outgoing(); // They stay in order.
    send_to_name(to.value, payload);
    return false;
}

bool udp_association::collect(bytes_view bytes, const endpoint& to) {
    if (!rules_.may_send(to, moved_)) { // Of now: see on_datagram().
        ++denied_;
        return false;
    }
    if (outgoing_.full()) send_outgoing();
    return outgoing_.add(bytes, to);
}

void udp_association::on_datagrams_over() {
    send_outgoing();
    outgoing_.end();
}

void udp_association::send_outgoing() {
    if (outgoing_.empty() || !socket_.is_open()) return;
    outgoing_.send(socket_, [this](const auto& one) {
        ++(one.sent ? up_ : lost_);
        if (one.sent) rules_.on_sent(one.to);
    });
}

bool udp_association::send(bytes_view bytes, const endpoint& to) {
    if (!rules_.may_send(to, std::chrono::steady_clock::now())) {
        ++denied_;
        return false;
    }
    if (socket_.send({}, bytes, to)) {
        ++lost_;
        return false;
    }
    ++up_;
    rules_.on_sent(to);
    return true;
}

void udp_association::send_to_first(const std::vector<asio::ip::address>& addresses,
                                    std::uint16_t port, bytes_view bytes) {
    // The next one where a family has no way out of this machine.
    for (const auto& each : addresses)
        if (send(bytes, {each, port})) return;
}

void udp_association::send_to_name(const socks5::address& to, bytes_view bytes) {
    if (to.port == 0) return;
    const auto found = names_.find(to.domain);
    if (found != names_.end() && !found->second.addresses.empty()) {
        if (found->second.known_until > std::chrono::steady_clock::now())
            return send_to_first(found->second.addresses, to.port, bytes);
        if (found->second.lookup == 0) names_.erase(found);
    }
    if (bytes.size() > waiting_bytes_max) {
        ++lost_;
        return look_up(to.domain);
    }
    while (waiting_datagrams_.size() == waiting_max ||
           waiting_bytes_ + bytes.size() > waiting_bytes_max) {
        waiting_bytes_ -= waiting_datagrams_.front().bytes.size();
        waiting_datagrams_.pop_front();
        ++lost_;
    }
    waiting_bytes_ += bytes.size();
    waiting_datagrams_.push_back({to.domain, to.port, {bytes.begin(), bytes.end()}});
    look_up(to.domain);
}

void udp_association::make_room_for_name() {
    while (names_.size() >= names_max) {
        const auto oldest =
            std::min_element(names_.begin(), names_.end(), [](const auto& a, const auto& b) {
                return a.second.known_until < b.second.known_until;
            });
        if (oldest->second.lookup != 0) lookups_.cancel(oldest->second.lookup);
        names_.erase(oldest);
    }
}

void udp_association::look_up(const std::string& host) {
    if (!names_.contains(host)) make_room_for_name();
    auto& one = names_[host];
    if (one.lookup != 0) return;
    one.known_until = std::chrono::steady_clock::now() + name_age_max;
    one.lookup = lookups_.look_up(
        host, user_,
        [self = udp_self(this), host](std::error_code, std::span<const asio::ip::address> addresses,
                                      bool last) { self->on_addresses(host, addresses, last); });
}

void udp_association::on_addresses(const std::string& host,
                                   std::span<const asio::ip::address> addresses, bool last) {
    const auto found = names_.find(host);
    if (found == names_.end() || !socket_.is_open()) return;
    auto& known = found->second.addresses;
    for (const auto& each : addresses)
        if (known.size() < addresses_max) known.push_back(each);
    if (last) found->second.lookup = 0;
    if (known.empty() && !last) return;
    const auto ready = std::stable_partition(waiting_datagrams_.begin(), waiting_datagrams_.end(),
                                             [&](const auto& one) { return one.host != host; });
    for (auto one = ready; one != waiting_datagrams_.end(); ++one) {
        if (known.empty()) ++lost_;
        send_to_first(known, one->port, one->bytes);
        waiting_bytes_ -= one->bytes.size();
    }
    waiting_datagrams_.erase(ready, waiting_datagrams_.end());
    if (known.empty()) names_.erase(found);
}

// ---- Ends

void udp_association::on_stream_readable() {
    if (!stream_) return;
    const udp_self self(this);
    bytes_view view;
    while (driver_->core().peek(*stream_, {&view, 1}) > 0)
        driver_->consume(*stream_, view.size());
    if (!stream_->at_end()) return;
    finish();
    let_go();
}

void udp_association::on_stream_reset(std::error_code) {
    const udp_self self(this);
    finish();
    let_go();
}

void udp_association::on_timeouts_changed() {
    if (socket_.is_open()) idle_.expires_at(moved_ + settings_.idle);
}

void udp_association::on_idle() {
    const auto until = moved_ + settings_.idle;
    if (until > std::chrono::steady_clock::now()) return idle_.expires_at(until);
    asio::post(driver_->thread().context(), [self = udp_self(this)] { self->finish(); });
}

void udp_association::finish() {
    if (!socket_.is_open() || !stream_) return;
    log::debug("association of stream {} ended: {} datagrams up, {} down, {} denied, {} too old, "
               "{} lost, {} without room in the kernel",
               stream_->id, up_, down_, denied_, too_old_, lost_, socket_.dropped_by_kernel());
    close();
    driver_->core().finish(*stream_);
}

void udp_association::close() {
    socket_.close();
    idle_.cancel();
    waiting_datagrams_.clear();
    waiting_bytes_ = 0;
    for (const auto& [host, one] : names_)
        if (one.lookup != 0) lookups_.cancel(one.lookup);
    names_.clear();
    places_.association = {};
    places_.file = {};
}

// ---- A hand-over

/// Names are looked up again there, and the few datagrams that wait for one are lost.
template <class Fields>
void udp_association::each_field(Fields& fields) {
    const auto now = std::chrono::steady_clock::now();
    auto idle_ms = static_cast<std::uint32_t>((now - moved_) / std::chrono::milliseconds(1));
    auto contacted = rules_.contacted();
    fields(idle_ms, contacted, up_, down_, denied_, too_old_, lost_);
    moved_ = now - std::chrono::milliseconds(idle_ms);
    rules_.set_contacted(contacted);
}

void udp_association::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    if (!socket_.is_open()) return;
    field_saver fields;
    auto kind = static_cast<std::uint8_t>(owner_mark::association);
    fields(kind);
    each_field(fields);
    state = std::move(fields.bytes());
    sockets.push_back(socket_.descriptor());
}

void udp_association::on_handed_over() {
    const auto self = std::move(kept_);
    socket_.let_go();
    close();
    stream_ = nullptr;
}

bool udp_association::resume(stream& s, bytes_view state, int socket) {
    field_loader fields(state);
    each_field(fields);
    if (!fields.done() || !socket_.adopt(socket)) return false;
    stream_ = &s;
    s.context = static_cast<stream_owner*>(this);
    kept_ = this;
    asio::post(driver_->thread().context(), [self = udp_self(this)] { self->go_on(); });
    return true;
}

void udp_association::go_on() {
    if (!stream_) return;
    if (stream_->end) return on_stream_reset(stream_->end);
    idle_.expires_at(moved_ + settings_.idle);
    wait_readable();
    on_stream_readable();
}

void udp_association::let_go() {
    if (!stream_) return;
    const auto self = std::move(kept_);
    driver_->core().release(*std::exchange(stream_, nullptr));
}

} // namespace muxsocks::server
