#include "tests/link/test_network.hpp"

#include <boost/asio/ip/address.hpp>

#include <array>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace muxsocks::test {

namespace {

tcp_acceptor bound(asio::io_context& context, std::string_view address, std::uint16_t port) {
    const asio::ip::tcp::endpoint local(asio::ip::make_address(address), port);
    tcp_acceptor acceptor(context.get_executor());
    acceptor.open(local.protocol());
    acceptor.set_option(tcp_acceptor::reuse_address(true));
    acceptor.bind(local);
    return acceptor;
}

bool becomes_writable(tcp_socket& socket, int milliseconds) {
    pollfd one{.fd = socket.native_handle(), .events = POLLOUT, .revents = 0};
    return ::poll(&one, 1, milliseconds) == 1;
}

} // namespace

bool has_ipv6() {
    asio::io_context context;
    tcp_acceptor acceptor(context.get_executor());
    boost::system::error_code error;
    acceptor.open(asio::ip::tcp::v6(), error);
    if (!error) acceptor.bind({asio::ip::address_v6::loopback(), 0}, error);
    return !error;
}

listener::listener(asio::io_context& context, std::string_view address, std::uint16_t port)
    : acceptor_(bound(context, address, port)) {
    acceptor_.listen(1024);
    accept();
}

void listener::accept() {
    acceptor_.async_accept([this](const boost::system::error_code& error, tcp_socket socket) {
        if (error) return;
        accepted_.push_back(std::move(socket));
        accept();
    });
}

black_hole::black_hole(asio::io_context& context, std::string_view address, std::uint16_t port)
    : acceptor_(bound(context, address, port)) {
    acceptor_.listen(0);
    // The queue is full once a connection that was begun does not come about.
    for (int i = 0; i < 16; ++i) {
        tcp_socket& filler = fillers_.emplace_back(context.get_executor());
        filler.open(endpoint().protocol());
        filler.native_non_blocking(true);
        // Asio's own connect() would wait.
        const auto target = endpoint();
        ::connect(filler.native_handle(), target.data(), static_cast<socklen_t>(target.size()));
        if (!becomes_writable(filler, 200)) return;
    }
    throw std::runtime_error("the queue of a listener does not become full");
}

asio::ip::tcp::endpoint refusing_endpoint(asio::io_context& context, std::string_view address) {
    return bound(context, address, 0).local_endpoint();
}

temporary_file::temporary_file(std::string_view content) {
    path_ = (std::filesystem::temp_directory_path() / "muxsocks-test-XXXXXX").string();
    const int descriptor = ::mkstemp(path_.data());
    if (descriptor < 0) throw std::runtime_error("no temporary file can be made");
    ::close(descriptor);
    write(content);
}

temporary_file::~temporary_file() { ::unlink(path_.c_str()); }

void temporary_file::write(std::string_view content) {
    std::ofstream(path_, std::ios::trunc) << content;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count - 1; // the iterator's own
}

} // namespace muxsocks::test
