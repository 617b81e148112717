#include "protocol/link/loop/lingering_close.hpp"

#include "protocol/link/loop/ref_counted.hpp"
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <sys/socket.h>

#include <cerrno>

namespace muxsocks {
namespace {

class lingering : public ref_counted<lingering> {
  public:
    lingering(deadlines& clock, tcp_socket socket)
        : socket_(std::move(socket)), limit_(clock, [this] { close(); }) {
        limit_.expires_after(std::chrono::seconds(2));
    }

    void wait() {
        socket_.async_wait(tcp_socket::wait_read, [self = boost::intrusive_ptr<lingering>(this)](
                                                      const boost::system::error_code& error) {
            if (!error && self->socket_.is_open()) self->discard();
        });
    }

  private:
    void discard() {
        char bytes[16'384];
        const auto size = ::recv(socket_.native_handle(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return close();
        wait();
    }
    void close() {
        boost::system::error_code ignored;
        socket_.close(ignored);
        limit_.cancel();
    }

    tcp_socket socket_;
    deadline limit_;
};

} // namespace

void close_lingering(deadlines& clock, tcp_socket socket, bytes_view last_words) {
    if (!last_words.empty())
        (void)::send(socket.native_handle(), last_words.data(), last_words.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    boost::system::error_code ignored;
    socket.shutdown(tcp_socket::shutdown_send, ignored);
    boost::intrusive_ptr<lingering>(new lingering(clock, std::move(socket)))->wait();
}

} // namespace muxsocks
