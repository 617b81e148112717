#include "client/worker.hpp"

#include "client/connect_request.hpp"
#include "client/redirected.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/dispatch.hpp>

#include <algorithm>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const socks5::credentials> make_users(const config& settings) {
    if (settings.users.empty()) return nullptr;
    auto made = std::make_shared<socks5::credentials>();
    for (const auto& user : settings.users)
        made->add(user.name, user.password);
    return made;
}

} // namespace

worker::worker(memory_budget& budget, std::shared_ptr<const link_recipe> recipe,
               std::uint32_t sessions, file_limit_check& files)
    : thread_(budget),
      resolver_(thread_.context(), thread_.clock(), {.search_short_names = true}),
      services_{thread_.context(), thread_.clock(), resolver_, 250ms, false},
      recipe_(std::move(recipe)),
      pool_(thread_, services_, recipe_, sessions, files),
      direct_(thread_, services_, pool_) {
    use_recipe();
}

worker::~worker() { stop(); }

void worker::start() { pool_.start(); }

void worker::use_recipe() {
    const auto& settings = recipe_->settings;
    users_ = make_users(settings);
    uids_.clear();
    for (const auto& user : settings.users)
        if (user.uid) uids_.push_back(*user.uid);
    auto pages = std::make_shared<page_facts>();
    pages->pac_host = settings.pac_host;
    pages->direct = pac_statements(settings.direct);
    // The pages ask for no password.
    if (!users_) pages->links = [this] { return pool_.link_states(); };
    pages_ = std::move(pages);
    direct_.use(settings);
    udp_ = settings.udp.enabled ? std::make_shared<const udp_settings>(settings.udp) : nullptr;
}

void worker::take(int descriptor, const listen_address& from) {
    if (from.is_transparent())
        return asio::dispatch(context(),
                              [this, descriptor, from] { take_redirected(descriptor, from); });
    asio::dispatch(context(), [this, descriptor, accept = from.accept] {
        const boost::intrusive_ptr<accepted_connection> connection(new accepted_connection(
            tcp_socket(context().get_executor(), asio::ip::tcp::v4(), descriptor),
            services_for(accept, descriptor)));
        connection->begin();
    });
}

void worker::take_redirected(int descriptor, const listen_address& from) {
    tcp_socket socket(context().get_executor(), asio::ip::tcp::v4(), descriptor);
    const auto target = redirected_target(descriptor, from);
    if (!target) {
        log::info(
            log::kind{"connections of applications closed"},
            "connection closed: it was made to {} itself, where only redirected ones are taken",
            to_string(from));
        return;
    }
    const request_ptr request(
        new connect_request(thread_, std::move(socket), *target, {}, no_answers()));
    request->give_up = std::chrono::steady_clock::now() + recipe_->settings.timeouts.wait;
    direct_.submit(request);
}

front_services worker::services_for(std::uint8_t accept, int descriptor) {
    const auto& timeouts = recipe_->settings.timeouts;
    const auto uid = uids_.empty() ? std::nullopt : peer_uid(descriptor);
    const bool known = uid && std::find(uids_.begin(), uids_.end(), *uid) != uids_.end();
    return {thread_,          direct_,       known ? nullptr : users_,
            timeouts.request, timeouts.wait, accept,
            pages_,           udp_,          &movables_};
}

void worker::reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions) {
    recipe_ = std::move(recipe);
    pool_.reload(recipe_, sessions);
    use_recipe();
}

snapshot worker::show(const snapshot_request& request) const {
    snapshot part;
    pool_.show(request, part);
    // Behind all sessions, which have told by now.
    part.counted = thread_.counted();
    part.direct = direct_.open();
    part.keep(request);
    return part;
}

} // namespace muxsocks::client
