#include "protocol/program/listeners.hpp"

#include "protocol/link/loop/let_go.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

constexpr auto pause_after_error = 100ms;
constexpr auto pause_between_sockets = 1s;

bool is_listening(tcp_acceptor& acceptor) {
    int listening = 0;
    ::socklen_t size = sizeof listening;
    return acceptor.is_open() &&
           ::getsockopt(acceptor.native_handle(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) ==
               0 &&
           listening != 0;
}

std::string cause_and_cure(int error) {
    if (error == EMFILE || error == ENFILE)
        return "no file descriptor left to accept a connection: raise RLIMIT_NOFILE";
    return "cannot accept a connection: " + std::generic_category().message(error);
}

} // namespace

listeners::listeners(asio::io_context& context, deadlines& clock, std::string what,
                     take_function take)
    : context_(context), clock_(clock), what_(std::move(what)), take_(std::move(take)) {}

listeners::~listeners() = default;

void listeners::open(std::span<const listen_address> addresses,
                     std::vector<inherited_listener> inherited) {
    for (const auto& address : addresses) {
        auto made = make(address, adopt_listener(context_, address, inherited));
        if (!made) made = bind(address);
        if (made) all_.push_back(std::move(made));
    }
    for (const auto& unused : inherited)
        ::close(unused.descriptor);
    if (all_.empty())
        throw std::runtime_error("none of the addresses in \"listen\" exists on this host");
}

std::unique_ptr<listeners::listener> listeners::bind(const listen_address& address) {
    return make(address, open_listener(context_, address));
}

std::unique_ptr<listeners::listener> listeners::make(const listen_address& address,
                                                     std::optional<tcp_acceptor> acceptor) {
    if (!acceptor) return nullptr;
    boost::system::error_code ignored;
    asio::ip::tcp::endpoint bound;
    if (address.type == listen_address::kind::ip) bound = acceptor->local_endpoint(ignored);
    return std::unique_ptr<listener>(
        new listener{address, std::move(*acceptor), bound, nullptr, 0});
}

void listeners::accept() {
    for (const auto& each : all_)
        begin(*each);
}

void listeners::pause() {
    for (const auto& each : all_) {
        boost::system::error_code ignored;
        each->acceptor.cancel(ignored);
        if (each->pause) each->pause->cancel();
    }
}

void listeners::go_on_accepting() {
    for (const auto& each : all_)
        wait(*each);
}

void listeners::begin(listener& on) {
    log::info("listening for {} on {}", what_, bound_address(on.acceptor, on.address));
    wait(on);
}

void listeners::wait(listener& on) {
    on.acceptor.async_wait(
        tcp_acceptor::wait_read, [this, at = &on](const boost::system::error_code& error) {
            // Closed, and perhaps gone.
            if (error == asio::error::operation_aborted) return;
            const auto take = [&](int descriptor) { take_(descriptor, at->address); };
            const int failed = error ? error.value() : accept_ready(at->acceptor, take);
            if (failed != 0) return on_error(*at, failed);
            at->trouble = 0;
            if (at->acceptor.is_open()) wait(*at);
        });
}

void listeners::on_error(listener& on, int error) {
    if (std::exchange(on.trouble, error) != error)
        log::warning(log::kind{"troubles with accepting connections"},
                     "{}; trying again each 100 ms", cause_and_cure(error));
    if (!on.pause) on.pause = std::make_unique<deadline>(clock_, [this, at = &on] { go_on(*at); });
    on.pause->expires_after(pause_after_error);
}

/// A socket that somebody has shut down (ss -K, a debugger) never listens again.
void listeners::go_on(listener& on) {
    if (is_listening(on.acceptor)) return wait(on);
    boost::system::error_code ignored;
    on.acceptor.close(ignored);
    auto address = on.address;
    // Where the system has chosen the port, that one.
    if (address.type == listen_address::kind::ip) address.address.port = on.bound.port();
    try {
        if (auto acceptor = open_listener(context_, address)) {
            on.acceptor = std::move(*acceptor);
            on.trouble = 0;
            log::warning("the socket on {} was shut down from outside", to_string(address));
            return begin(on);
        }
    } catch (const std::exception& error) {
        log::warning(log::kind{"troubles with listening anew"}, "{}; trying again each second",
                     error.what());
    }
    on.pause->expires_after(pause_between_sockets);
}

void listeners::move_to(std::span<const listen_address> addresses) {
    auto old = std::exchange(all_, {});
    std::vector<listen_address> added;
    for (const auto& address : addresses) {
        const auto same = std::find_if(old.begin(), old.end(), [&](const auto& each) {
            return each && each->address.address == address.address &&
                   each->address.type == address.type && each->address.mode == address.mode &&
                   each->address.group == address.group &&
                   each->address.is_tproxy() == address.is_tproxy();
        });
        if (same == old.end()) {
            added.push_back(address);
            continue;
        }
        (*same)->address = address;
        all_.push_back(std::move(*same));
    }
    // Those that go are closed first: a new address may contain an old one.
    close(std::move(old));
    for (const auto& address : added) {
        try {
            if (auto made = bind(address)) {
                begin(*made);
                all_.push_back(std::move(made));
            }
        } catch (const std::exception& error) {
            log::error("{}", error.what());
        }
    }
}

void listeners::let_go() {
    for (const auto& each : all_) {
        muxsocks::let_go(each->acceptor);
        if (each->pause) each->pause->cancel();
    }
    auto gone = std::make_shared<std::vector<std::unique_ptr<listener>>>(std::exchange(all_, {}));
    asio::post(context_, [gone] {});
}

std::vector<inherited_listener> listeners::to_inherit() {
    std::vector<inherited_listener> found;
    for (const auto& each : all_)
        found.push_back({to_string(each->address), each->acceptor.native_handle()});
    return found;
}

void listeners::close() { close(std::exchange(all_, {})); }

void listeners::close(std::vector<std::unique_ptr<listener>> those) {
    for (const auto& each : those) {
        if (!each) continue;
        boost::system::error_code ignored;
        each->acceptor.close(ignored);
        remove_unix_path(each->address);
        if (each->pause) each->pause->cancel();
    }
    // Handlers of the closed ones name their listener: they run before it goes.
    auto gone = std::make_shared<std::vector<std::unique_ptr<listener>>>(std::move(those));
    asio::post(context_, [gone] {});
}

std::vector<int> listeners::native_handles() {
    std::vector<int> found;
    for (const auto& each : all_)
        found.push_back(each->acceptor.native_handle());
    return found;
}

} // namespace muxsocks
