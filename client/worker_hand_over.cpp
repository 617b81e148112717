// Of worker: how all that is an application's goes to another process, and comes from one.

#include "client/connect_request.hpp"
#include "client/direct_relay.hpp"
#include "client/forward_connection.hpp"
#include "client/udp_association.hpp"
#include "client/udp_tunnel.hpp"
#include "client/worker.hpp"
#include "protocol/link/loop/socket_ends.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks::client {

void worker::save(const giving_sessions::send& one) {
    saved_.clear();
    if (!pool_.save(one)) return;
    bool heard = true;
    const auto save_one = [&](movable& each) {
        std::vector<std::uint8_t> state;
        std::vector<int> sockets;
        if (!heard) return;
        if (!each.save_connection(state, sockets)) return;
        saved_.push_back(&each);
        heard = one(handed_piece::connection, state, sockets);
    };
    for (auto& each : movables_)
        save_one(each);
    pool_.for_each_waiting(save_one);
    direct_.for_each_movable(save_one);
}

void worker::let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused) {
    pool_.let_go(number, refused);
    for (const auto each : std::exchange(saved_, {}))
        each->on_connection_gone();
    pool_.forget_waiting();
    direct_.forget_dials();
    direct_.drain();
}

void worker::take_over(const session_state& from, const handed_session& one,
                       descriptor_list sockets) {
    pool_.take_over(from, one, std::move(sockets),
                    [this](const driver_ptr& driver, stream& s, bytes_view state,
                           descriptor_list& own) { return resume_stream(driver, s, state, own); });
}

bool worker::resume_stream(const driver_ptr& driver, stream& s, bytes_view state,
                           descriptor_list& sockets) {
    if (state[0] == static_cast<std::uint8_t>(stream_kind::associate))
        return udp_ && udp_association::resume(driver, s, state.subspan(1), sockets, udp_,
                                               pool_.stream_timeouts().keepalive);
    const int socket = sockets.take();
    if (socket >= 0 && resume_stream(driver, s, state, socket)) return true;
    sockets.add(socket);
    return false;
}

bool worker::resume_stream(const driver_ptr& driver, stream& s, bytes_view state, int socket) {
    switch (static_cast<stream_kind>(state[0])) {
    case stream_kind::forward:
        return forward_connection::resume(driver, s, state.subspan(1), socket,
                                          services_for(accepted_protocols::all, socket));
    case stream_kind::udp_tunnel:
        return udp_ && udp_tunnel::resume(driver, s, state.subspan(1), socket, udp_,
                                          pool_.stream_timeouts().keepalive);
    default:
        return client_relay::resume(driver, s, state, socket, pool_);
    }
}

void worker::take_moved(std::vector<std::uint8_t> state, descriptor_list sockets) {
    struct moved {
        std::vector<std::uint8_t> state;
        descriptor_list sockets;
    };
    auto all = std::make_shared<moved>(moved{std::move(state), std::move(sockets)});
    asio::post(context(), [this, all] { begin_moved(all->state, std::move(all->sockets)); });
}

void worker::begin_moved(bytes_view state, descriptor_list sockets) {
    const int descriptor = sockets.take();
    if (descriptor < 0) return;
    tcp_socket socket(context().get_executor(), asio::ip::tcp::v4(), descriptor);
    tcp_socket target(context().get_executor());
    if (const int second = sockets.take(); second >= 0) target.assign(asio::ip::tcp::v4(), second);
    // What nothing comes of ends with RST.
    const auto give_up = [&] {
        for (auto* each : {&socket, &target})
            if (each->is_open()) close_with_reset(*each);
    };
    if (state.empty()) return give_up();
    const auto rest = state.subspan(1);
    switch (static_cast<movable_kind>(state[0])) {
    case movable_kind::accepted: {
        std::uint8_t accept = accepted_protocols::all;
        std::string heard;
        std::string said;
        field_loader fields(rest);
        fields(accept, heard, said);
        if (!fields.done()) return give_up();
        const boost::intrusive_ptr<accepted_connection> connection(
            new accepted_connection(std::move(socket), services_for(accept, descriptor)));
        return connection->begin(std::move(heard), std::move(said));
    }
    case movable_kind::connect: {
        const auto request = connect_request::load(thread_, rest);
        if (!request) return give_up();
        request->take_back(std::move(socket));
        return direct_.submit(request);
    }
    case movable_kind::associate: {
        const auto request = udp_ ? associate_request::load(thread_, socket, rest, udp_) : nullptr;
        return request ? direct_.submit(request) : give_up();
    }
    case movable_kind::udp_tunnel: {
        const auto request = udp_ ? udp_tunnel_request::load(thread_, socket, rest, udp_) : nullptr;
        return request ? direct_.submit(request) : give_up();
    }
    case movable_kind::forward:
        return forward_connection::resume(rest, std::move(socket),
                                          services_for(accepted_protocols::all, descriptor));
    case movable_kind::forward_direct:
        if (!target.is_open()) return give_up();
        return forward_connection::resume_direct(rest, std::move(socket), std::move(target),
                                                 direct_,
                                                 services_for(accepted_protocols::all, descriptor));
    case movable_kind::direct:
        if (!target.is_open()) return give_up();
        return direct_relay::resume(direct_, std::move(socket), std::move(target), rest);
    }
    give_up();
}

} // namespace muxsocks::client
