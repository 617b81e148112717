// The other ends: targets, and a server that is not to be trusted either.

#include "tests/attack/attack.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace muxsocks::attack {
namespace {

using tcp = asio::ip::tcp;
using handler = awaitable<void> (*)(tcp::socket);

/// What they read goes here; nobody looks at it but the echo, which is done with it at once.
std::array<std::uint8_t, 65'536> scratch;

awaitable<std::size_t> read(tcp::socket& from) {
    co_await from.async_wait(tcp::socket::wait_read, asio::use_awaitable);
    co_return from.read_some(asio::buffer(scratch));
}

awaitable<void> echo(tcp::socket connection) {
    for (;;) {
        const auto count = co_await read(connection);
        const bytes back(scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(count));
        co_await asio::async_write(connection, asio::buffer(back), asio::use_awaitable);
    }
}

awaitable<void> take(tcp::socket connection) {
    for (;;)
        co_await read(connection);
}

awaitable<void> give(tcp::socket connection) {
    static const bytes zeros(65'536);
    for (;;)
        co_await asio::async_write(connection, asio::buffer(zeros), asio::use_awaitable);
}

/// Says nothing, reads nothing, and waits for the end.
awaitable<void> hold(tcp::socket connection) {
    co_await connection.async_wait(tcp::socket::wait_error, asio::use_awaitable);
}

awaitable<void> accept(tcp::acceptor from, handler serve) {
    for (;;) {
        tcp::socket connection = co_await from.async_accept(asio::use_awaitable);
        connection.set_option(tcp::no_delay(true));
        asio::co_spawn(from.get_executor(), serve(std::move(connection)), asio::detached);
    }
}

std::uint16_t listen(run& in, handler serve) {
    tcp::acceptor made(in.io);
    made.open(tcp::v4());
    made.set_option(asio::socket_base::reuse_address(true));
    made.bind({asio::ip::address_v4::loopback(), 0});
    made.listen(4096);
    const auto port = made.local_endpoint().port();
    start(in, accept(std::move(made), serve));
    return port;
}

/// Frames of a plain link, read by whoever accepted it.
class served {
  public:
    explicit served(tcp::socket connection) : connection_(std::move(connection)) {}

    awaitable<wire::frame> receive() {
        while (input_.size() < wire::header_bytes ||
               input_.size() < wire::header_bytes + wire::payload_bytes(input_)) {
            const auto count = co_await read(connection_);
            input_.insert(input_.end(), scratch.begin(),
                          scratch.begin() + static_cast<std::ptrdiff_t>(count));
        }
        auto found = wire::read_frame(input_);
        input_.erase(input_.begin(),
                     input_.begin() +
                         static_cast<std::ptrdiff_t>(wire::header_bytes + found.payload.size()));
        co_return found;
    }
    awaitable<void> send(view payload) {
        bytes out;
        wire::put(out, 0, wire::ctrl, payload);
        co_await asio::async_write(connection_, asio::buffer(out), asio::use_awaitable);
    }

  private:
    tcp::socket connection_;
    bytes input_;
};

awaitable<void> authenticate_and_end(run& in, tcp::socket connection) {
    ++in.counts["links"];
    served one(std::move(connection));
    wire::handshake secrets(in.args.user);
    auto hello = co_await one.receive();
    if (hello.is(wire::join)) {
        co_await one.send(wire::join_fail_unknown());
        hello = co_await one.receive();
    }
    co_await one.send(secrets.server_hello(hello.payload));
    const auto auth = co_await one.receive();
    co_await one.send(secrets.server_auth_ok(auth.payload, {}));
    ++in.counts["authenticated"];
}

} // namespace

awaitable<void> serve_targets(run& in) {
    const std::pair<const char*, handler> all[] = {
        {"echo", echo}, {"take", take}, {"give", give}, {"hold", hold}};
    std::string line = "{";
    for (const auto& [name, serve] : all)
        line += (line.size() > 1 ? ", \"" : "\"") + std::string(name) +
                "\": " + std::to_string(listen(in, serve));
    in.tell(line + "}");
    co_await in.until_over();
}

awaitable<void> serve_ends(run& in) {
    tcp::acceptor made(in.io, parse_endpoint(in.args.server));
    in.tell(std::to_string(made.local_endpoint().port()));
    start(in, [](run& own, tcp::acceptor from) -> awaitable<void> {
        for (;;)
            start(own, authenticate_and_end(own, co_await from.async_accept(asio::use_awaitable)));
    }(in, std::move(made)));
    co_await in.until_over();
}

} // namespace muxsocks::attack
