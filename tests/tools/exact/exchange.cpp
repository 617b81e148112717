#include "tests/tools/exact/exchange.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace muxsocks::tools {
namespace {

using boost::system::error_code;

/// All exchanges of this single-threaded program fill and check in the same memory.
std::array<std::byte, 128 * 1024> scratch;

/// Calls of recv or send before the others have their turn.
constexpr int turn_calls = 4;

constexpr duration pace_tick = std::chrono::milliseconds(5);

} // namespace

std::string_view name(outcome what) {
    constexpr std::array<std::string_view, outcomes> names{"ok",    "reset", "refused", "timeout",
                                                           "extra", "early", "wrong"};
    return names[static_cast<std::size_t>(what)];
}

exchange::exchange(asio::io_context& io, tcp_socket socket, const exchange_plan& plan, on_done done)
    : socket_(std::move(socket)),
      plan_(plan),
      done_(std::move(done)),
      deadline_(io.get_executor()),
      pause_(io.get_executor()),
      began_(clock::now()) {}

void exchange::start() {
    socket_.non_blocking(true);
    deadline_.expires_after(plan_.deadline);
    deadline_.async_wait([this, keep = shared_from_this()](error_code cancelled) {
        if (!cancelled)
            finish(outcome::timeout, "sent " + std::to_string(sent_) + " of " +
                                         std::to_string(plan_.send_bytes) + ", received " +
                                         std::to_string(received_) + " of " +
                                         std::to_string(plan_.receive_bytes));
    });
    wait_readable();
    if (!plan_.send_after_end) write();
}

void exchange::wait_readable() {
    socket_.async_wait(tcp_socket::wait_read, [this, keep = shared_from_this()](error_code error) {
        if (!error && !finished_) read();
    });
}

void exchange::wait_writable() {
    socket_.async_wait(tcp_socket::wait_write, [this, keep = shared_from_this()](error_code error) {
        if (!error && !finished_) write();
    });
}

void exchange::read() {
    for (int calls = 0; calls < turn_calls; ++calls) {
        const ssize_t got = ::recv(socket_.native_handle(), scratch.data(), scratch.size(), 0);
        if (got == 0) return end_of_input();
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (got < 0)
            return finish(outcome::reset, std::string(std::strerror(errno)) + " after " +
                                              std::to_string(received_) + " bytes");
        if (!check(std::span(scratch).first(static_cast<std::size_t>(got)))) return;
    }
    wait_readable();
}

bool exchange::check(std::span<const std::byte> bytes) {
    const auto left = static_cast<std::size_t>(
        std::min<std::uint64_t>(bytes.size(), plan_.receive_bytes - received_));
    const pattern expected(plan_.receive_key);
    if (const auto wrong = expected.first_difference(received_, bytes.first(left))) {
        finish(outcome::wrong, "at byte " + std::to_string(received_ + *wrong));
        return false;
    }
    received_ += left;
    end_output_if_due();
    if (finished_) return false;
    if (left == bytes.size()) return true;
    finish(outcome::extra, "behind byte " + std::to_string(received_));
    return false;
}

void exchange::end_of_input() {
    received_end_ = true;
    if (received_ != plan_.receive_bytes)
        return finish(outcome::early, "after " + std::to_string(received_) + " of " +
                                          std::to_string(plan_.receive_bytes));
    if (plan_.send_after_end)
        write();
    else
        end_output_if_due();
    finish_if_complete();
}

void exchange::write() {
    for (int calls = 0; calls < turn_calls && sent_ < plan_.send_bytes; ++calls) {
        const auto bytes = static_cast<std::size_t>(
            std::min<std::uint64_t>({plan_.send_bytes - sent_, scratch.size(), allowance()}));
        if (bytes == 0) return pause_writing();
        pattern(plan_.send_key).fill(sent_, std::span(scratch).first(bytes));
        const ssize_t took = ::send(socket_.native_handle(), scratch.data(), bytes, MSG_NOSIGNAL);
        if (took < 0 && (errno == EAGAIN || errno == EINTR)) return wait_writable();
        if (took < 0)
            return finish(outcome::reset, std::string(std::strerror(errno)) +
                                              " when sending from " + std::to_string(sent_));
        sent_ += static_cast<std::uint64_t>(took);
    }
    if (sent_ < plan_.send_bytes) return wait_writable();
    end_output_if_due();
}

void exchange::end_output_if_due() {
    if (sent_end_ || sent_ < plan_.send_bytes) return;
    if (plan_.send_after_end && !received_end_) return;
    if (plan_.end_after_input && received_ < plan_.receive_bytes) return;
    if (plan_.end_after_end && !received_end_) return;
    ::shutdown(socket_.native_handle(), SHUT_WR);
    sent_end_ = true;
    finish_if_complete();
}

std::uint64_t exchange::allowance() const {
    if (plan_.pace == 0) return plan_.send_bytes;
    const double seconds = std::chrono::duration<double>(clock::now() - began_).count();
    const auto allowed = static_cast<std::uint64_t>(seconds * static_cast<double>(plan_.pace));
    return allowed > sent_ ? allowed - sent_ : 0;
}

void exchange::pause_writing() {
    pause_.expires_after(pace_tick);
    pause_.async_wait([this, keep = shared_from_this()](error_code cancelled) {
        if (!cancelled && !finished_) write();
    });
}

void exchange::finish_if_complete() {
    if (sent_end_ && received_end_) finish(outcome::ok);
}

void exchange::finish(outcome what, std::string detail) {
    if (std::exchange(finished_, true)) return;
    deadline_.cancel();
    pause_.cancel();
    error_code ignored;
    // After a failure the other end is not to find a FIN, which would be a failure of its own.
    if (what != outcome::ok) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
    done_({what, std::move(detail)});
}

} // namespace muxsocks::tools
