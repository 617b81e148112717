#include "client/worker.hpp"

#include <boost/asio/dispatch.hpp>

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
      users_(make_users(recipe_->settings)),
      pool_(thread_, services_, recipe_, sessions, files) {}

worker::~worker() { stop(); }

void worker::start() { pool_.start(); }

void worker::take(int descriptor) {
    asio::dispatch(context(), [this, descriptor] {
        const auto& timeouts = recipe_->settings.timeouts;
        const boost::intrusive_ptr<accepted_connection> connection(new accepted_connection(
            tcp_socket(context().get_executor(), asio::ip::tcp::v4(), descriptor),
            {thread_, pool_, users_, timeouts.request, timeouts.wait}));
        connection->begin();
    });
}

void worker::reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions) {
    recipe_ = std::move(recipe);
    users_ = make_users(recipe_->settings);
    pool_.reload(recipe_, sessions);
}

} // namespace muxsocks::client
