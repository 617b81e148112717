#include "tests/tools/relay/control.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include <unistd.h>

#include <iostream>
#include <memory>
#include <utility>

namespace muxsocks::tools {
namespace {

using boost::system::error_code;

/// A line longer than this is no command.
constexpr std::size_t longest_line = 4096;

template <class Stream>
std::string take_line(std::string& buffer, std::size_t bytes) {
    std::string line = buffer.substr(0, bytes);
    buffer.erase(0, bytes);
    return line;
}

} // namespace

class control_port::conversation : public std::enable_shared_from_this<conversation> {
  public:
    conversation(tcp_socket socket, answer_line answer)
        : socket_(std::move(socket)), answer_(std::move(answer)) {}

    void read() {
        asio::async_read_until(
            socket_, asio::dynamic_buffer(input_, longest_line), '\n',
            [this, keep = shared_from_this()](error_code error, std::size_t bytes) {
                if (error) return;
                output_ = answer_(take_line<tcp_socket>(input_, bytes)) + "\n";
                write();
            });
    }

  private:
    void write() {
        asio::async_write(socket_, asio::buffer(output_),
                          [this, keep = shared_from_this()](error_code error, std::size_t) {
                              if (!error) read();
                          });
    }

    tcp_socket socket_;
    answer_line answer_;
    std::string input_;
    std::string output_;
};

control_port::control_port(asio::io_context& io, const asio::ip::tcp::endpoint& listen,
                           answer_line answer)
    : acceptor_(io.get_executor()), answer_(std::move(answer)) {
    acceptor_.open(listen.protocol());
    acceptor_.set_option(tcp_acceptor::reuse_address(true));
    acceptor_.bind(listen);
    acceptor_.listen();
    accept();
}

void control_port::accept() {
    acceptor_.async_accept([this](error_code error, tcp_socket socket) {
        if (!acceptor_.is_open()) return;
        if (!error) std::make_shared<conversation>(std::move(socket), answer_)->read();
        accept();
    });
}

namespace {

using input_descriptor = asio::posix::basic_stream_descriptor<executor>;

struct standard_input : std::enable_shared_from_this<standard_input> {
    standard_input(asio::io_context& io, answer_line on_line)
        : input(io.get_executor(), ::dup(STDIN_FILENO)), answer(std::move(on_line)) {}

    void read() {
        asio::async_read_until(
            input, asio::dynamic_buffer(buffer, longest_line), '\n',
            [this, keep = shared_from_this()](error_code error, std::size_t bytes) {
                if (error) return;
                std::cout << answer(take_line<input_descriptor>(buffer, bytes)) << std::endl;
                read();
            });
    }

    input_descriptor input;
    answer_line answer;
    std::string buffer;
};

} // namespace

void read_standard_input(asio::io_context& io, answer_line answer) {
    try {
        std::make_shared<standard_input>(io, answer)->read();
    } catch (const boost::system::system_error&) {
        // epoll takes no regular files: those can be read without waiting.
        for (std::string line; std::getline(std::cin, line);)
            std::cout << answer(line) << std::endl;
    }
}

} // namespace muxsocks::tools
