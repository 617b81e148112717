#include "tests/tools/exact/socks_dialer.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <utility>

namespace muxsocks::tools {
namespace {

using boost::system::error_code;

constexpr std::uint8_t version = 5;
constexpr std::uint8_t method_none = 0;
constexpr std::uint8_t method_password = 2;

void append(std::vector<std::uint8_t>& bytes, const std::string& text) {
    bytes.push_back(static_cast<std::uint8_t>(text.size()));
    bytes.insert(bytes.end(), text.begin(), text.end());
}

} // namespace

socks_dialer::socks_dialer(asio::io_context& io, const socks_route& route, on_done done)
    : route_(route),
      done_(std::move(done)),
      socket_(io.get_executor()),
      deadline_(io.get_executor()) {}

void socks_dialer::start() {
    deadline_.expires_after(route_.deadline);
    deadline_.async_wait([this, keep = shared_from_this()](error_code cancelled) {
        if (!cancelled) fail("no answer within the deadline");
    });
    connect();
}

void socks_dialer::connect() {
    const auto keep = shared_from_this();
    socket_.async_connect(route_.proxy.value_or(route_.target), [this, keep](error_code error) {
        if (error) return fail("connect: " + error.message());
        error_code ignored;
        socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
        if (!route_.proxy) return succeed();
        greet();
    });
}

void socks_dialer::greet() {
    send({version, 1, route_.user.empty() ? method_none : method_password},
         &socks_dialer::authenticate);
}

void socks_dialer::authenticate() {
    receive(2, [this] {
        if (input_[0] != version) return fail("the proxy does not speak SOCKS5");
        if (input_[1] == method_none && route_.user.empty()) return request();
        if (input_[1] != method_password || route_.user.empty())
            return fail("the proxy takes no method that was offered");
        std::vector<std::uint8_t> credentials{1};
        append(credentials, route_.user);
        append(credentials, route_.password);
        send(std::move(credentials), nullptr);
        receive(2, [this] {
            if (input_[1] != 0) return fail("the proxy refuses the user");
            request();
        });
    });
}

void socks_dialer::request() {
    std::vector<std::uint8_t> bytes{version, 1, 0};
    if (!route_.target_name.empty()) {
        bytes.push_back(3);
        append(bytes, route_.target_name);
    } else if (route_.target.address().is_v4()) {
        bytes.push_back(1);
        const auto address = route_.target.address().to_v4().to_bytes();
        bytes.insert(bytes.end(), address.begin(), address.end());
    } else {
        bytes.push_back(4);
        const auto address = route_.target.address().to_v6().to_bytes();
        bytes.insert(bytes.end(), address.begin(), address.end());
    }
    bytes.push_back(static_cast<std::uint8_t>(route_.target.port() >> 8U));
    bytes.push_back(static_cast<std::uint8_t>(route_.target.port() & 0xffU));
    send(std::move(bytes), &socks_dialer::read_reply);
}

void socks_dialer::read_reply() {
    receive(5, [this] {
        if (input_[0] != version) return fail("the reply is not SOCKS5");
        const std::size_t address = input_[3] == 1 ? 4U : input_[3] == 4 ? 16U : 1U + input_[4];
        read_bnd(address - 1 + 2);
    });
}

void socks_dialer::read_bnd(std::size_t bytes) {
    const std::uint8_t rep = input_[1];
    receive(bytes, [this, rep] {
        if (rep != 0) return fail("REP " + std::to_string(rep));
        succeed();
    });
}

void socks_dialer::send(std::vector<std::uint8_t> bytes, void (socks_dialer::*next)()) {
    output_ = std::move(bytes);
    asio::async_write(socket_, asio::buffer(output_),
                      [this, next, keep = shared_from_this()](error_code error, std::size_t) {
                          if (error) return fail("write: " + error.message());
                          if (next != nullptr) (this->*next)();
                      });
}

void socks_dialer::receive(std::size_t bytes, std::function<void()> next) {
    input_.assign(bytes, 0);
    asio::async_read(
        socket_, asio::buffer(input_),
        [this, next = std::move(next), keep = shared_from_this()](error_code error, std::size_t) {
            if (error) return fail("SOCKS: " + error.message());
            next();
        });
}

void socks_dialer::fail(const std::string& error) {
    if (!done_) return;
    deadline_.cancel();
    error_code ignored;
    socket_.close(ignored);
    std::exchange(done_, nullptr)(std::move(socket_), error);
}

void socks_dialer::succeed() {
    if (!done_) return;
    deadline_.cancel();
    std::exchange(done_, nullptr)(std::move(socket_), {});
}

} // namespace muxsocks::tools
