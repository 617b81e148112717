#include "tests/tools/relay/relay.hpp"

#include <array>
#include <cstdio>
#include <utility>
#include <vector>

namespace muxsocks::tools {

using boost::system::error_code;

relay::relay(context& shared, const asio::ip::tcp::endpoint& listen)
    : shared_(shared),
      listen_(listen),
      acceptor_(shared.io.get_executor()),
      accept_pause_(shared.io.get_executor()) {
    open_listener();
    listen_ = acceptor_.local_endpoint();
    accept();
}

void relay::open_listener() {
    acceptor_.open(listen_.protocol());
    acceptor_.set_option(tcp_acceptor::reuse_address(true));
    acceptor_.bind(listen_);
    acceptor_.listen(4096);
}

void relay::accept() {
    acceptor_.async_accept([this](error_code error, tcp_socket client) {
        if (!acceptor_.is_open()) return;
        if (!error) {
            carry(std::move(client));
            return accept();
        }
        // Out of descriptors, most likely: try again a little later.
        accept_pause_.expires_after(std::chrono::milliseconds(50));
        accept_pause_.async_wait([this](error_code cancelled) {
            if (!cancelled && acceptor_.is_open()) accept();
        });
    });
}

void relay::carry(tcp_socket client) {
    const std::uint64_t id = next_id_++;
    const auto added =
        std::make_shared<connection>(shared_, id, std::move(client),
                                     [this](connection& gone) { connections_.erase(gone.id()); });
    connections_.emplace(id, added);
    added->start();
}

/// Calls the action for the connections chosen; each may end, and leave the map, meanwhile.
void relay::for_each(selection which, const std::function<void(connection&)>& action) {
    std::vector<std::shared_ptr<connection>> chosen;
    for (const auto& [id, candidate] : connections_)
        if (auto alive = candidate.lock()) chosen.push_back(std::move(alive));
    if (chosen.empty()) return;
    if (which == selection::oldest) return action(*chosen.front());
    if (which == selection::newest) return action(*chosen.back());
    for (const auto& each : chosen)
        action(*each);
}

void relay::settings_changed() {
    for_each(selection::all, [](connection& each) { each.run(); });
}

void relay::cut(cut_style style, cut_side side, selection which) {
    for_each(which, [&](connection& each) { each.cut(style, side); });
}

void relay::cut_in(direction way, const range<std::uint64_t>& bytes, cut_style style) {
    for_each(selection::all,
             [&](connection& each) { each.cut_in(way, draw(bytes, shared_.random), style); });
}

void relay::swallow(direction way) {
    for_each(selection::all, [&](connection& each) { each.swallow(way); });
}

void relay::refuse(bool on) {
    if (on) {
        error_code ignored;
        acceptor_.close(ignored);
        accept_pause_.cancel();
    } else if (!acceptor_.is_open()) {
        open_listener();
        accept();
    }
}

std::string relay::describe() const {
    const statistics& counts = shared_.counts;
    std::uint64_t held = 0;
    for (const auto& [id, candidate] : connections_)
        if (const auto alive = candidate.lock()) held += alive->held_bytes();
    std::array<char, 512> line{};
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::snprintf(line.data(), line.size(),
                  "{\"accepted\": %llu, \"live\": %llu, \"held\": %llu, \"up\": %llu, "
                  "\"down\": %llu, \"swallowed_up\": %llu, \"swallowed_down\": %llu, "
                  "\"cuts\": %llu, \"resets_passed_on\": %llu, \"target_failures\": %llu}",
                  number(counts.accepted), number(counts.live), number(held),
                  number(counts.delivered_bytes[0]), number(counts.delivered_bytes[1]),
                  number(counts.swallowed_bytes[0]), number(counts.swallowed_bytes[1]),
                  number(counts.cuts), number(counts.resets_passed_on),
                  number(counts.target_failures));
    return line.data();
}

} // namespace muxsocks::tools
