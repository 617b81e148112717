#include "client/worker.hpp"

#include "protocol/program/listen.hpp"
#include "protocol/program/log.hpp"

#include <algorithm>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const socks5::credentials> make_credentials(const config& settings) {
    auto made = std::make_shared<socks5::credentials>();
    for (const auto& user : settings.users)
        made->add(user.name, user.password);
    return made;
}

} // namespace

worker::worker(memory_budget& budget, std::shared_ptr<const link_recipe> recipe,
               std::uint32_t links, file_limit_check& files)
    : thread_(budget),
      resolver_(thread_.context(), thread_.clock(), {}),
      services_{thread_.context(), thread_.clock(), resolver_, 250ms, false},
      recipe_(std::move(recipe)),
      credentials_(make_credentials(recipe_->settings)),
      pool_(thread_, services_, recipe_, links, files),
      drain_check_(thread_.clock(), [this] { check_drained(); }) {}

worker::~worker() { stop(); }

void worker::listen(bool shared) {
    for (const auto& address : recipe_->settings.listen)
        if (auto made = bind(address, shared)) listeners_.push_back(std::move(made));
    if (listeners_.empty())
        throw std::runtime_error("none of the addresses in \"listen\" exists on this host");
}

std::unique_ptr<worker::listener> worker::bind(const listen_address& address, bool shared) {
    auto acceptor = open_listener(thread_.context(), address, shared);
    if (!acceptor) return nullptr;
    return std::unique_ptr<listener>(new listener{address.address, std::move(*acceptor), nullptr});
}

void worker::start() {
    pool_.start();
    for (const auto& each : listeners_) {
        log::info("listening for SOCKS5 on {}", bound_address(each->acceptor));
        accept(*each);
    }
}

void worker::accept(listener& on) {
    on.acceptor.async_wait(
        tcp_acceptor::wait_read, [this, at = &on](const boost::system::error_code& error) {
            if (error) return;
            switch (accept_ready(at->acceptor, [this](int descriptor) {
                take(tcp_socket(thread_.context().get_executor(), asio::ip::tcp::v4(), descriptor));
            })) {
            case accept_outcome::drained:
                return accept(*at);
            case accept_outcome::out_of_files:
                log::warning("no file descriptor left to accept a connection: raise "
                             "RLIMIT_NOFILE; accepting again in 100 ms");
                if (!at->pause)
                    at->pause =
                        std::make_unique<deadline>(thread_.clock(), [this, at] { accept(*at); });
                return at->pause->expires_after(100ms);
            }
        });
}

void worker::take(tcp_socket socket) {
    const boost::intrusive_ptr<socks_connection> connection(new socks_connection(
        thread_, std::move(socket), make_check(), recipe_->settings.timeouts, pool_));
    connection->begin();
}

socks5::credential_check worker::make_check() const {
    if (recipe_->settings.users.empty()) return {};
    return [known = credentials_](std::string_view user, std::string_view password) {
        return known->check(user, password);
    };
}

void worker::reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t links, bool shared) {
    recipe_ = std::move(recipe);
    credentials_ = make_credentials(recipe_->settings);
    move_listeners(shared);
    pool_.reload(recipe_, links);
}

/// Also where nothing has changed: what could not be bound the last time is tried again.
void worker::move_listeners(bool shared) {
    std::vector<std::unique_ptr<listener>> kept;
    std::vector<listen_address> added;
    for (const auto& address : recipe_->settings.listen) {
        const auto same = std::find_if(listeners_.begin(), listeners_.end(), [&](const auto& each) {
            return each && each->address == address.address;
        });
        if (same != listeners_.end())
            kept.push_back(std::move(*same));
        else
            added.push_back(address);
    }
    // Those that go are closed first: a new address may contain an old one.
    auto gone =
        std::make_shared<std::vector<std::unique_ptr<listener>>>(std::exchange(listeners_, {}));
    for (const auto& each : *gone)
        if (each) each->acceptor.close();
    // Handlers of the closed ones name their listener: they run before it goes.
    asio::post(thread_.context(), [gone] {});
    for (const auto& address : added) {
        try {
            if (auto made = bind(address, shared)) {
                log::info("listening for SOCKS5 on {}", bound_address(made->acceptor));
                accept(*made);
                kept.push_back(std::move(made));
            }
        } catch (const std::exception& error) {
            log::error("{}", error.what());
        }
    }
    listeners_ = std::move(kept);
}

void worker::drain(std::function<void()> drained) {
    for (const auto& each : listeners_)
        each->acceptor.close();
    drained_ = std::move(drained);
    drain_until_ = std::chrono::steady_clock::now() + recipe_->settings.timeouts.drain;
    pool_.drain();
    check_drained();
}

void worker::check_drained() {
    if (!drained_) return;
    if (!pool_.idle() && std::chrono::steady_clock::now() < drain_until_)
        return drain_check_.expires_after(20ms);
    std::exchange(drained_, nullptr)();
}

void worker::stop() {
    for (const auto& each : listeners_) {
        boost::system::error_code ignored;
        each->acceptor.close(ignored);
    }
    pool_.close();
}

} // namespace muxsocks::client
