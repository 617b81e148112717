#include "server/target_connection.hpp"

#include "protocol/program/log.hpp"
#include "server/udp_association.hpp"
#include "socks5/reply_code.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>

namespace muxsocks::server {
namespace {

using self_ptr = boost::intrusive_ptr<target_connection>;

socks5::address address_of(const asio::ip::tcp::endpoint& endpoint) {
    const auto ip = endpoint.address();
    return ip.is_v4() ? socks5::address::from_ipv4(ip.to_v4().to_bytes(), endpoint.port())
                      : socks5::address::from_ipv6(ip.to_v6().to_bytes(), endpoint.port());
}

asio::ip::address literal_of(const socks5::address& one) {
    if (one.type == socks5::address::kind::ipv6) return asio::ip::address_v6(one.ip);
    return asio::ip::address_v4({one.ip[0], one.ip[1], one.ip[2], one.ip[3]});
}

bool is_marked(bytes_view state, owner_mark as) {
    return !state.empty() && state[0] == static_cast<std::uint8_t>(as);
}

/// The relay of a connected target, with a line for the log at its end.
class target_relay final : public relay {
  public:
    target_relay(driver_ptr driver, tcp_socket socket, const relay_timeouts& timeouts,
                 held_place place, held_file file, std::string destination)
        : relay(std::move(driver), std::move(socket), timeouts),
          place_(std::move(place)),
          file_(std::move(file)),
          destination_(std::move(destination)) {}

    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override {
        state.push_back(static_cast<std::uint8_t>(owner_mark::relay));
        relay::save(state, sockets);
        state.insert(state.end(), destination_.begin(), destination_.end());
    }

  private:
    void on_ended(std::error_code why) override {
        if (!log::enabled(log_level::debug)) return;
        const auto seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
        log::debug(log::because{to_string(stream_end_of(why))},
                   "stream {} to {} ended: {} bytes up, {} bytes down, {:.3f} s, {}", stream_id(),
                   destination_, bytes_down_, bytes_up_, seconds,
                   why ? why.message() : "both directions finished");
    }
    std::uint32_t stream_id() const { return id_; }
    void describe(shown_stream& to) const override {
        relay::describe(to);
        std::swap(to.bytes_up, to.bytes_down); // As its client sees it.
        if (log::destinations_shown()) to.destination = destination_;
    }

    held_place place_;
    held_file file_;
    std::string destination_;

  public:
    std::uint32_t id_ = 0;
};

} // namespace

target_connection::target_connection(driver_ptr driver, stream& s, const target_services& services,
                                     std::shared_ptr<const target_policy> policy,
                                     user_account_ptr user, held_place place)
    : driver_(std::move(driver)),
      stream_(&s),
      services_(services),
      policy_(std::move(policy)),
      user_(std::move(user)),
      place_(std::move(place)),
      limit_(driver_->thread().clock(), [this] {
          asio::post(driver_->thread().context(), [self = self_ptr(this)] {
              if (!self->stream_ || self->dialling_) return;
              self->driver_->core().reset(*self->stream_, reset_code::cancelled);
              self->let_go();
          });
      }) {}

void target_connection::begin() {
    stream_->context = static_cast<stream_owner*>(this);
    kept_ = this;
    limit_.expires_after(services_.request_timeout);
}

void target_connection::on_stream_readable() {
    if (dialling_ || !stream_) return;
    const self_ptr self(this);
    auto& core = driver_->core();
    bytes_view view;
    while (core.peek(*stream_, {&view, 1}) > 0) {
        // Nearly always the request is one view; one that is cut is put together.
        const auto before = partial_.size();
        auto input = view;
        if (before > 0) {
            // Not insert(): GCC 14 warns of an overflow that it imagines there.
            partial_.resize(before + view.size());
            std::memcpy(partial_.data() + before, view.data(), view.size());
            input = partial_;
        }
        auto parsed = socks5::parse_request(input);
        switch (parsed.status) {
        case socks5::parse_status::need_more:
            if (before == 0) partial_.assign(view.begin(), view.end());
            driver_->consume(*stream_, view.size());
            continue;
        case socks5::parse_status::failed:
            return refuse(socks5::reply_code_from(parsed.error), parsed.error.message());
        case socks5::parse_status::done:
            driver_->consume(*stream_, parsed.used - before);
            return on_request(std::move(parsed.value));
        }
    }
    if (stream_->at_end()) {
        core.reset(*stream_, reset_code::cancelled);
        let_go();
    }
}

void target_connection::on_request(socks5::request request) {
    limit_.cancel();
    // For a process that takes over: there it is dialled anew.
    partial_ = socks5::encode(request);
    if (log::enabled(log_level::debug) || log::destinations_shown())
        destination_ = socks5::to_string(request.dst);
    if (request.cmd == socks5::command::connect) return dial(request.dst);
    if (request.cmd == socks5::command::udp_associate && driver_->core().datagrams_lane().agreed())
        return associate();
    if (request.cmd == socks5::command::resolve) return resolve(request.dst);
    if (request.cmd == socks5::command::resolve_ptr) return resolve_name(request.dst);
    refuse(socks5::reply_code::command_not_supported,
           "this server does not support " + socks5::to_string(request.cmd));
}

void target_connection::associate() {
    if (!user_->may_use_udp())
        return refuse(socks5::reply_code::command_not_supported,
                      "its user may have no associations (users[].udp)");
    auto place = held_place::take(user_, user_place::association);
    if (!place) {
        log::warning(log::kind{"associations refused for a limit of their user", user_->name()},
                     "an association of {} was refused: its user has {} already "
                     "(limits.user.udp_associations)",
                     log::escape(user_->name()), user_->most(user_place::association));
        return refuse(socks5::reply_code::not_allowed, "its user has too many associations");
    }
    if (!take_file()) return;
    const boost::intrusive_ptr<udp_association> made(new udp_association(
        driver_, services_.lookups, services_.udp, udp_rules(policy_, services_.udp, services_.own),
        user_, {std::move(place_), std::move(place), std::move(file_)}));
    if (const auto error = made->open()) {
        tell_failure(error);
        return refuse(socks5::reply_code::general_failure, error.message());
    }
    const auto self = std::move(kept_);
    driver_->core().accept(*stream_);
    made->begin(*std::exchange(stream_, nullptr));
}

void target_connection::resolve(const socks5::address& dst) {
    driver_->core().accept(*stream_);
    if (dst.type != socks5::address::kind::domain) {
        const auto literal = literal_of(dst);
        return on_resolved({}, {&literal, 1}, true);
    }
    dialling_ = true;
    lookup_ = services_.lookups.look_up(
        dst.domain, user_,
        [self = self_ptr(this)](std::error_code error, std::span<const asio::ip::address> addresses,
                                bool last) { self->on_resolved(error, addresses, last); });
}

void target_connection::on_resolved(std::error_code error,
                                    std::span<const asio::ip::address> addresses, bool last) {
    if (!stream_) return;
    const auto allowed =
        std::find_if(addresses.begin(), addresses.end(), [this](const auto& address) {
            return policy_->allows(address, services_.own);
        });
    if (last) lookup_ = 0;
    if (allowed != addresses.end())
        return answer(socks5::make_reply(socks5::reply_code::succeeded,
                                         address_of(asio::ip::tcp::endpoint(*allowed, 0))));
    denied_ = denied_ || !addresses.empty();
    if (!last) return;
    if (denied_)
        return refuse(socks5::reply_code::not_allowed, "its addresses are none that are allowed");
    refuse(socks5::reply_code_from(error), error.message());
}

void target_connection::resolve_name(const socks5::address& dst) {
    driver_->core().accept(*stream_);
    if (dst.type == socks5::address::kind::domain)
        return refuse(socks5::reply_code::address_type_not_supported,
                      "only addresses have such names");
    const auto literal = literal_of(dst);
    if (!policy_->allows(literal, services_.own))
        return refuse(socks5::reply_code::not_allowed, "its address is none that is allowed");
    dialling_ = true;
    lookup_ = services_.lookups.look_up_name(
        literal, user_, [self = self_ptr(this)](std::error_code error, const std::string& name) {
            if (!self->stream_) return;
            self->lookup_ = 0;
            if (error) return self->refuse(socks5::reply_code_from(error), error.message());
            self->answer(socks5::make_reply(socks5::reply_code::succeeded,
                                            socks5::address::from_domain(name, 0)));
        });
}

void target_connection::answer(const socks5::reply& reply) {
    limit_.cancel();
    if (lookup_ != 0) services_.lookups.cancel(std::exchange(lookup_, 0));
    const auto self = std::move(kept_);
    auto& s = *std::exchange(stream_, nullptr);
    driver_->core().on_connected(s);
    driver_->core().refuse(s, socks5::encode(reply));
}

void target_connection::dial(const socks5::address& dst) {
    if (!take_file()) return;
    driver_->core().accept(*stream_);
    dialling_ = true;
    dialled_at_ = std::chrono::steady_clock::now();
    auto done = [self = self_ptr(this)](dial_result result) {
        self->driver_->share().run(
            [self, result = std::move(result)]() mutable { self->on_dialled(std::move(result)); });
    };
    auto& targets = services_.targets;
    const share_ptr share(&driver_->share());
    if (dst.type == socks5::address::kind::domain) {
        dial_ = targets.dial(dst.domain, dst.port, policy_, std::move(done), user_, share);
    } else if (dst.type == socks5::address::kind::ipv4) {
        const asio::ip::address_v4::bytes_type bytes{dst.ip[0], dst.ip[1], dst.ip[2], dst.ip[3]};
        dial_ = targets.dial(asio::ip::address_v4(bytes), dst.port, policy_, std::move(done), user_,
                             share);
    } else {
        dial_ = targets.dial(asio::ip::address_v6(dst.ip), dst.port, policy_, std::move(done),
                             user_, share);
    }
}

bool target_connection::take_file() {
    switch (services_.files.take(*user_)) {
    case file_places::answer::taken:
        file_ = held_file(services_.files, user_);
        return true;
    case file_places::answer::user_has_too_many:
        log::warning(log::kind{"requests refused for the files of their user", user_->name()},
                     "a request of {} was refused: it has {} sockets already (limits.user.files)",
                     log::escape(user_->name()), user_->most(user_place::file));
        break;
    case file_places::answer::process_has_too_many:
        log::warning(log::kind{"requests refused for the files of the process", user_->name()},
                     "a request of {} was refused: {} sockets to targets are open, {} of them this "
                     "user's, and the other files are kept for links and for users who have fewer "
                     "than {}: raise RLIMIT_NOFILE",
                     log::escape(user_->name()), services_.files.held(),
                     user_->held(user_place::file), services_.files.few());
        break;
    }
    refuse(socks5::reply_code::general_failure, "no file is left for its user");
    return false;
}

void target_connection::on_dialled(dial_result result) {
    if (!stream_) return close_with_reset(result.socket);
    const auto self = kept_;
    dialling_ = false;
    partial_ = {};
    dial_ = 0;
    count(result);
    if (result.error) {
        if (result.error == dial_errc::denied) {
            tell_refusal(result);
            driver_->core().notify(stream_, {notice_code::policy, 0, result.error.message()});
        } else {
            tell_failure(result.error);
        }
        return refuse(socks5::reply_code_from(result.error), result.error.message());
    }
    auto& s = *std::exchange(stream_, nullptr);
    kept_.reset();
    const auto reply =
        socks5::encode(socks5::make_reply(socks5::reply_code::succeeded, address_of(result.local)));
    driver_->core().on_connected(s);
    driver_->core().write(s, reply);
    const boost::intrusive_ptr<target_relay> relay(
        new target_relay(driver_, std::move(result.socket), services_.timeouts, std::move(place_),
                         std::move(file_), std::move(destination_)));
    relay->id_ = s.id;
    relay->start(s);
}

void target_connection::count(const dial_result& result) {
    auto& counters = driver_->thread().counters();
    const auto took = std::chrono::steady_clock::now() - dialled_at_;
    if (!result.error) {
        counters.dials.add(took);
        counters.on_reply(0);
    } else if (result.error == dial_errc::denied) {
        counters.on_denied(result.rule);
    } else {
        counters.dials_failed.add(took);
    }
}

void target_connection::tell_refusal(const dial_result& result) {
    const auto& user = driver_->core().user();
    const auto who = user.empty() ? std::string("a client") : log::escape(user);
    if (log::destinations_shown()) return log::info("{} denied: {}", who, result.reason);
    log::debug("{} denied: {}", who, result.reason);
    if (services_.refusals.first(user, result.range))
        log::info("{} was refused {} (said once for each user and range)", who, result.range);
}

/// What is wrong with this machine, and not with the target.
void target_connection::tell_failure(std::error_code error) {
    if (error == dial_errc::waited_too_long)
        log::warning(log::kind{"requests that waited too long for their dial"},
                     "a request was refused: {}", error.message());
    else if (error == std::errc::address_not_available)
        log::warning(log::kind{"requests that found no local port"},
                     "a request was refused: no local port is left for a connection to its target; "
                     "net.ipv4.ip_local_port_range has more");
    else if (error == std::errc::too_many_files_open ||
             error == std::errc::too_many_files_open_in_system)
        log::warning(log::kind{"requests that found no file descriptor"},
                     "a request was refused: no file descriptor left to connect to its target: "
                     "raise RLIMIT_NOFILE");
}

void target_connection::refuse(socks5::reply_code rep, const std::string& why) {
    log::debug("stream {} to {} refused with REP {:#04x}: {}", stream_->id, destination_,
               static_cast<unsigned>(rep), why);
    driver_->thread().counters().on_reply(static_cast<std::uint8_t>(rep));
    limit_.cancel();
    const auto self = std::move(kept_);
    auto& s = *std::exchange(stream_, nullptr);
    driver_->core().refuse(s, socks5::encode(socks5::make_reply(rep)));
}

// ---- A hand-over

void target_connection::save(std::vector<std::uint8_t>& state, std::vector<int>&) {
    state.push_back(static_cast<std::uint8_t>(owner_mark::request));
    state.insert(state.end(), partial_.begin(), partial_.end());
}

void target_connection::on_handed_over() {
    const auto self = std::move(kept_);
    limit_.cancel();
    if (lookup_ != 0) services_.lookups.cancel(std::exchange(lookup_, 0));
    if (dial_ != 0) services_.targets.cancel(dial_);
    stream_ = nullptr;
}

void target_connection::resume(bytes_view state) {
    begin();
    partial_.assign(state.begin() + 1, state.end());
    // Not before the thread runs: until then the session may be another process's after all.
    asio::post(driver_->thread().context(), [self = self_ptr(this)] {
        if (!self->stream_) return;
        auto parsed = socks5::parse_request(self->partial_);
        if (parsed.status == socks5::parse_status::done)
            self->on_request(std::move(parsed.value));
        else
            self->on_stream_readable();
    });
}

bool target_has_socket(bytes_view state) {
    return is_marked(state, owner_mark::relay) || is_marked(state, owner_mark::association);
}

namespace {

bool resume_association(driver_ptr driver, stream& s, bytes_view state, int socket,
                        const target_services& services,
                        std::shared_ptr<const target_policy> policy, user_account_ptr user,
                        held_place place) {
    // After a change of the configuration, as for a new one.
    if (!services.udp.enabled || !user->may_use_udp()) return false;
    user->take_anyway(user_place::association);
    held_place association(user, user_place::association);
    services.files.take_anyway(*user);
    held_file file(services.files, user);
    const boost::intrusive_ptr<udp_association> made(new udp_association(
        std::move(driver), services.lookups, services.udp,
        udp_rules(std::move(policy), services.udp, services.own), std::move(user),
        {std::move(place), std::move(association), std::move(file)}));
    return made->resume(s, state, socket);
}

} // namespace

bool resume_target(driver_ptr driver, stream& s, bytes_view state, int socket,
                   const target_services& services, std::shared_ptr<const target_policy> policy,
                   user_account_ptr user) {
    if (state.empty()) return false;
    user->take_anyway(user_place::stream);
    held_place place(user, user_place::stream);
    if (is_marked(state, owner_mark::request)) {
        const boost::intrusive_ptr<target_connection> target(new target_connection(
            std::move(driver), s, services, std::move(policy), std::move(user), std::move(place)));
        target->resume(state);
        return true;
    }
    if (socket >= 0 && is_marked(state, owner_mark::association))
        return resume_association(std::move(driver), s, state.subspan(1), socket, services,
                                  std::move(policy), std::move(user), std::move(place));
    if (!is_marked(state, owner_mark::relay) || state.size() < 1 + relay::state_size || socket < 0)
        return false;
    ::sockaddr_storage at{};
    ::socklen_t size = sizeof at;
    if (::getsockname(socket, reinterpret_cast<::sockaddr*>(&at), &size) != 0) return false;
    tcp_socket target(driver->thread().context().get_executor());
    boost::system::error_code error;
    target.assign(at.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), socket,
                  error);
    if (error) return false;
    services.files.take_anyway(*user);
    held_file file(services.files, std::move(user));
    const auto rest = state.subspan(1);
    const auto name = rest.subspan(relay::state_size);
    const boost::intrusive_ptr<target_relay> relay(
        new target_relay(std::move(driver), std::move(target), services.timeouts, std::move(place),
                         std::move(file), std::string(name.begin(), name.end())));
    relay->id_ = s.id;
    relay->resume(s, rest.first(relay::state_size));
    return true;
}

// ---- Ends

void target_connection::on_stream_reset(std::error_code) { let_go(); }

void target_connection::let_go() {
    if (!stream_) return;
    const auto self = std::move(kept_);
    limit_.cancel();
    if (lookup_ != 0) services_.lookups.cancel(std::exchange(lookup_, 0));
    if (dial_ != 0) services_.targets.cancel(dial_);
    driver_->core().release(*std::exchange(stream_, nullptr));
}

} // namespace muxsocks::server
