#include "tests/tools/relay/flow.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace muxsocks::tools {
namespace {

/// Reads wait until so much fits, so that a full queue does not lead to many small reads.
constexpr std::size_t read_bytes = 128 * 1024;

/// Bytes and writes of a flow before the others have their turn.
constexpr std::size_t turn_bytes = 1024 * 1024;
constexpr int turn_writes = 256;

/// With a delay or a rate, what comes due within this time is written together.
constexpr duration shortest_pause = std::chrono::microseconds(500);

} // namespace

flow::flow(context& shared, direction way, tcp_socket& source, tcp_socket& destination,
           listener& owner)
    : shared_(shared),
      way_(way),
      source_(source),
      destination_(destination),
      owner_(owner),
      line_(shared.pool),
      timer_(shared.io.get_executor()) {}

void flow::start(std::shared_ptr<void> keep) {
    keep_ = std::move(keep);
    running_ = true;
    run();
}

void flow::stop() {
    running_ = false;
    line_.clear();
    timer_.cancel();
    keep_.reset();
}

void flow::swallow() {
    swallowed_ = true;
    shared_.counts.swallowed_bytes[index(way_)] += line_.held_bytes();
    line_.clear();
    fin_due_.reset();
    reset_due_.reset();
    run();
}

void flow::cut_at(std::uint64_t bytes, cut_style style) {
    cut_at_ = bytes;
    cut_style_ = style;
    run();
}

void flow::source_reset() {
    if (source_ended_ && !fin_due_ && !finished_) return;
    source_ended_ = true;
    if (swallowed_) {
        if (running_) owner_.on_finished(way_);
        return;
    }
    fin_due_.reset();
    reset_due_ = clock::now() + config().wire.delay;
    run();
}

void flow::run() {
    if (!running_) return;
    const std::shared_ptr<void> keep = keep_;
    const time_point now = clock::now();
    bool again = false;
    if (!config().stalled) {
        again = deliver(now);
        if (running_) again = read(now) || again;
        if (running_) again = deliver(now) || again;
        if (running_) deliver_ends(now);
    }
    if (!running_) return;
    if (again)
        asio::post(shared_.io, [this, keep] { run(); });
    else
        wait_until_next_step(now);
}

/// Writes what is due; returns whether more could be written at once.
bool flow::deliver(time_point now) {
    std::size_t moved = 0;
    for (int writes = 0; running_ && !waits_writable_; ++writes) {
        if (cut_at_ && delivered_ >= *cut_at_) {
            cut_at_.reset();
            owner_.on_cut_due(way_, cut_style_);
            return false;
        }
        const std::size_t ready = line_.ready(now);
        if (ready == 0) return false;
        if (moved >= turn_bytes || writes == turn_writes) return true;
        std::array<iovec, delay_line::vectors> views{};
        msghdr message{};
        message.msg_iov = views.data();
        message.msg_iovlen = line_.view(write_limit(ready), views);
        const ssize_t sent =
            ::sendmsg(destination_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            const auto bytes = static_cast<std::size_t>(sent);
            line_.consume(bytes);
            delivered_ += bytes;
            shared_.counts.delivered_bytes[index(way_)] += bytes;
            moved += bytes;
        } else if (errno == EAGAIN) {
            wait_writable();
        } else if (errno != EINTR) {
            owner_.on_destination_lost(way_);
        }
    }
    return false;
}

std::size_t flow::write_limit(std::size_t ready) {
    if (shared_.config.chunk)
        ready = static_cast<std::size_t>(std::min<std::uint64_t>(
            ready, std::max<std::uint64_t>(1, draw(*shared_.config.chunk, shared_.random))));
    if (cut_at_)
        ready = static_cast<std::size_t>(std::min<std::uint64_t>(ready, *cut_at_ - delivered_));
    return ready;
}

/// Reads what fits; returns whether more could be read at once.
bool flow::read(time_point now) {
    if (swallowed_) {
        drain_swallowed();
        return false;
    }
    const wire_settings& wire = config().wire;
    const std::size_t least =
        static_cast<std::size_t>(std::clamp<std::uint64_t>(wire.queue_bytes / 4, 1, read_bytes));
    std::size_t moved = 0;
    while (!source_ended_ && !waits_readable_) {
        const std::size_t room = line_.room(wire, now);
        if (room < least) return false;
        if (moved >= turn_bytes) return true;
        std::array<iovec, 2> areas = line_.prepare(std::min(room, read_bytes));
        const ssize_t got = ::readv(source_.native_handle(), areas.data(), 2);
        const int error = errno;
        line_.commit(wire, static_cast<std::size_t>(std::max<ssize_t>(got, 0)), now);
        if (got > 0) {
            moved += static_cast<std::size_t>(got);
        } else if (got == 0) {
            source_ended_ = true;
            fin_due_ = line_.end_due(wire, now);
        } else if (error == EAGAIN) {
            wait_readable();
        } else if (error != EINTR) {
            source_reset();
        }
    }
    return false;
}

void flow::drain_swallowed() {
    std::array<std::byte, 65536> lost;
    while (!source_ended_ && !waits_readable_) {
        const ssize_t got = ::read(source_.native_handle(), lost.data(), lost.size());
        if (got > 0)
            shared_.counts.swallowed_bytes[index(way_)] += static_cast<std::uint64_t>(got);
        else if (got < 0 && errno == EAGAIN)
            wait_readable();
        else if (got == 0 || errno != EINTR)
            source_ended_ = true; // the far side never hears of it
    }
    if (source_ended_) owner_.on_finished(way_);
}

void flow::deliver_ends(time_point now) {
    if (reset_due_ && *reset_due_ <= now) {
        reset_due_.reset();
        owner_.on_reset(way_);
    } else if (fin_due_ && *fin_due_ <= now && line_.held_bytes() == 0) {
        fin_due_.reset();
        finished_ = true;
        ::shutdown(destination_.native_handle(), SHUT_WR);
        owner_.on_finished(way_);
    }
}

void flow::wait_readable() {
    waits_readable_ = true;
    source_.async_wait(tcp_socket::wait_read, [this, keep = keep_](boost::system::error_code) {
        waits_readable_ = false;
        run();
    });
}

void flow::wait_writable() {
    waits_writable_ = true;
    destination_.async_wait(tcp_socket::wait_write,
                            [this, keep = keep_](boost::system::error_code) {
                                waits_writable_ = false;
                                run();
                            });
}

/// Sets the timer to the first of: bytes come due, an end comes due, the queue has room again.
void flow::wait_until_next_step(time_point now) {
    if (config().stalled) return;
    std::optional<time_point> next;
    const auto consider = [&next](std::optional<time_point> when) {
        if (when && (!next || *when < *next)) next = when;
    };
    if (!waits_writable_) {
        consider(line_.next_due());
        if (line_.held_bytes() == 0) consider(fin_due_);
    }
    consider(reset_due_);
    if (!source_ended_ && !waits_readable_ && !swallowed_)
        consider(line_.room_at(config().wire,
                               static_cast<std::size_t>(std::clamp<std::uint64_t>(
                                   config().wire.queue_bytes / 4, 1, read_bytes)),
                               now));
    if (!next) return;
    timer_.expires_at(std::max(*next, now + shortest_pause));
    timer_.async_wait([this, keep = keep_](boost::system::error_code error) {
        if (!error) run();
    });
}

} // namespace muxsocks::tools
