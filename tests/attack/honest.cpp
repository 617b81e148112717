// Those who mean it well, and measure how they are served: requests through a client, a standing
// connection, links that log in, and a crowd of users.

#include "tests/attack/attack.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <unordered_map>

namespace muxsocks::attack {
namespace {

using boost::system::error_code;

constexpr auto request_time = std::chrono::seconds(10);
constexpr std::size_t reply_bytes = 10;

/// A connection through the client's port, which is closed when its time is up.
class socks_connection {
  public:
    socks_connection(asio::io_context& io, std::chrono::seconds time)
        : socket_(io), deadline_(io.get_executor(), time) {
        deadline_.async_wait([this](error_code cancelled) {
            if (!cancelled) late_ = true, socket_.close();
        });
    }
    ~socks_connection() { deadline_.cancel(); }

    /// Whether it is over because of its time.
    bool late() const { return late_; }

    awaitable<void> open(endpoint proxy, view request) {
        co_await socket_.async_connect(proxy, asio::use_awaitable);
        socket_.set_option(asio::ip::tcp::no_delay(true));
        constexpr std::array<std::uint8_t, 3> greeting{5, 1, 0};
        co_await asio::async_write(socket_, asio::buffer(greeting), asio::use_awaitable);
        co_await read(2);
        co_await asio::async_write(socket_, asio::buffer(request.data(), request.size()),
                                   asio::use_awaitable);
        co_await read(reply_bytes);
        if (buffer_[1] != 0) throw std::runtime_error("REP " + std::to_string(buffer_[1]));
    }

    awaitable<void> echo_a_byte() {
        buffer_[0] = 'x';
        co_await asio::async_write(socket_, asio::buffer(buffer_, 1), asio::use_awaitable);
        co_await read(1);
    }

  private:
    awaitable<void> read(std::size_t count) {
        co_await asio::async_read(socket_, asio::buffer(buffer_, count), asio::use_awaitable);
    }

    asio::ip::tcp::socket socket_;
    steady_timer deadline_;
    std::array<std::uint8_t, reply_bytes> buffer_{};
    bool late_ = false;
};

awaitable<void> ask_once(run& in, bytes request, outcomes& into) {
    const auto begun = clock::now();
    ++in.counts["under way"];
    auto connection = std::make_unique<socks_connection>(in.io, request_time);
    try {
        co_await connection->open(parse_endpoint(in.args.socks), request);
        co_await connection->echo_a_byte();
        into.succeed(clock::now() - begun);
    } catch (const std::exception& error) {
        into.fail(connection->late() ? "no answer" : error.what());
    }
    --in.counts["under way"];
}

/// A byte there and back every 5 ms: the longest wait is the longest pause of all who take part.
awaitable<void> stand(run& in, bytes request, outcomes& into) {
    auto connection = std::make_unique<socks_connection>(in.io, std::chrono::seconds(7200));
    try {
        co_await connection->open(parse_endpoint(in.args.socks), request);
        while (co_await in.go_on_after(std::chrono::milliseconds(5))) {
            const auto begun = clock::now();
            co_await connection->echo_a_byte();
            into.succeed(clock::now() - begun);
        }
    } catch (const std::exception& error) {
        into.fail(error.what());
    }
}

awaitable<void> log_in_once(run& in, std::size_t n, outcomes& into) {
    const auto begun = clock::now();
    ++in.counts["under way"];
    const auto made = std::make_shared<session>(in.io, in.server(n), in.user(n));
    try {
        co_await made->log_in();
        into.succeed(clock::now() - begun);
    } catch (const std::exception& error) {
        into.fail(error.what());
    }
    made->cut();
    --in.counts["under way"];
}

/// The rest of what has been begun, each of which has a deadline of its own.
awaitable<void> finish(run& in) {
    const auto end = clock::now() + request_time + std::chrono::seconds(1);
    while (in.counts["under way"] > 0 && clock::now() < end)
        co_await pause(in.io, std::chrono::milliseconds(10));
    in.counts.erase("under way");
}

/// One user of the crowd: a session, and one request after the other.
class member {
  public:
    member(run& in, std::size_t n) : in_(in), n_(n) {}

    awaitable<void> live() {
        auto& logins = in_.measured["logins"];
        const auto begun = clock::now();
        session_ = std::make_shared<session>(in_.io, in_.server(n_), in_.user(n_));
        session_->on_end = [this](const std::string& why) {
            if (!in_.over()) in_.measured["links"].fail(why);
        };
        session_->on_frame = [this](const wire::frame& frame) { take(frame); };
        try {
            co_await session_->log_in();
            logins.succeed(clock::now() - begun);
        } catch (const std::exception& error) {
            logins.fail(error.what());
            co_return;
        }
        const auto every = std::chrono::duration<double>(1 / std::max(in_.args.rate, 0.01));
        const auto pause = std::chrono::duration_cast<std::chrono::nanoseconds>(every);
        while (session_->up() && co_await in_.go_on_after(pause)) {
            if (stream_ != 0 && clock::now() - begun_ < request_time) continue;
            if (stream_ != 0) in_.measured["requests"].fail("no answer");
            begun_ = clock::now();
            came_ = 0;
            bytes first = in_.request();
            first.push_back('x');
            stream_ = session_->open(first);
            session_->flush();
        }
    }

  private:
    void take(const wire::frame& frame) {
        if (frame.stream != stream_) return;
        auto& requests = in_.measured["requests"];
        if ((frame.flags & wire::rst) != 0) {
            requests.fail("RST " + std::to_string(frame.payload.back()));
            stream_ = 0;
            return;
        }
        if ((frame.flags & wire::data) == 0) return;
        came_ += frame.payload.size() - wire::offset_bytes;
        if (came_ <= reply_bytes) return;
        requests.succeed(clock::now() - begun_);
        session_->write(stream_, {}, true);
        stream_ = 0;
    }

    run& in_;
    std::size_t n_;
    std::shared_ptr<session> session_;
    clock::time_point begun_;
    std::uint32_t stream_ = 0;
    std::size_t came_ = 0;
};

} // namespace

awaitable<void> measure_requests(run& in) {
    auto& requests = in.measured["requests"];
    if (in.args.kind != "names") start(in, stand(in, in.request(), in.measured["standing"]));
    while (co_await in.go_on_after(std::chrono::milliseconds(1)))
        for (std::size_t due = in.due(); due > 0; --due)
            start(in, ask_once(in, in.request(), requests));
    co_await finish(in);
}

awaitable<void> measure_newcomers(run& in) {
    std::size_t n = 0;
    while (co_await in.go_on_after(std::chrono::milliseconds(1)))
        for (std::size_t due = in.due(); due > 0; --due)
            start(in, log_in_once(in, n++, in.measured["newcomers"]));
    co_await finish(in);
}

awaitable<void> measure_crowd(run& in) {
    std::vector<std::unique_ptr<member>> members;
    for (std::size_t n = 0; n < in.args.users; ++n) {
        members.push_back(std::make_unique<member>(in, n));
        start(in, members.back()->live());
        co_await pause(in.io, std::chrono::milliseconds(5));
    }
    in.tell("ready");
    co_await in.until_over();
}

} // namespace muxsocks::attack
