#include "tests/attack/attack.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <sstream>
#include <utility>

namespace muxsocks::attack {

void outcomes::succeed(clock::duration after) {
    times_.push_back(std::chrono::duration<double, std::milli>(after).count());
}

std::size_t outcomes::failed() const {
    std::size_t sum = 0;
    for (const auto& [why, count] : failures_)
        sum += count;
    return sum;
}

double outcomes::percentile(double part) const {
    if (times_.empty()) return 0;
    const auto last = static_cast<double>(times_.size() - 1);
    const auto at = times_.begin() + static_cast<std::ptrdiff_t>(part * last);
    std::nth_element(times_.begin(), at, times_.end());
    return *at;
}

void outcomes::describe(std::ostream& out) const {
    out << "{\"good\": " << times_.size() << ", \"failed\": " << failed()
        << ", \"p50\": " << percentile(0.5) << ", \"p99\": " << percentile(0.99)
        << ", \"max\": " << percentile(1) << ", \"why\": {";
    const char* comma = "";
    for (const auto& [why, count] : failures_) {
        std::string text = why;
        std::ranges::replace_if(
            text, [](char each) { return each < ' ' || each == '"' || each == '\\'; }, '.');
        out << std::exchange(comma, ", ") << '"' << text << "\": " << count;
    }
    out << "}}";
}

run::run(arguments from)
    : args(std::move(from)),
      signals_(io, SIGTERM, SIGINT),
      end_(begun_ + std::chrono::milliseconds(static_cast<std::int64_t>(args.seconds * 1000))) {
    signals_.async_wait([this](boost::system::error_code, int) { over_ = true; });
}

void run::execute(awaitable<void> (*mode)(run&)) {
    asio::co_spawn(io, mode(*this), [this](std::exception_ptr failed) {
        io.stop();
        if (failed) std::rethrow_exception(failed);
    });
    io.run();
    std::ostringstream line;
    line << "{";
    const char* comma = "";
    for (const auto& [name, value] : counts)
        line << std::exchange(comma, ", ") << '"' << name << "\": " << value;
    for (const auto& [name, each] : measured) {
        line << std::exchange(comma, ", ") << '"' << name << "\": ";
        each.describe(line);
    }
    line << "}";
    tell(line.str());
}

void run::tell(const std::string& line) const { std::cout << line << std::endl; }

awaitable<bool> run::go_on_after(std::chrono::nanoseconds time) {
    co_await pause(io, time);
    co_return !over();
}

awaitable<void> run::until_over() {
    while (!over())
        co_await pause(io, std::chrono::milliseconds(50));
}

std::size_t run::due() {
    const std::chrono::duration<double> passed = clock::now() - begun_;
    std::size_t most = args.count == 0 ? SIZE_MAX : args.count;
    if (args.rate > 0)
        most = std::min(most, static_cast<std::size_t>(passed.count() * args.rate) + 1);
    constexpr std::size_t at_once = 1000;
    const auto now = std::min(most - std::min(most, taken_), at_once);
    taken_ += now;
    return now;
}

destination run::server(std::size_t n) const {
    destination where{parse_endpoint(args.server), !args.plain, {}, {}};
    where.source =
        args.source.empty() ? stranger(args.first + n) : asio::ip::make_address(args.source);
    if (args.claims != 0) where.claimed = ipv6_stranger(args.claims, n);
    return where;
}

std::string run::target_host() {
    std::string host = args.target.substr(0, args.target.rfind(':'));
    if (const auto place = host.find('#'); place != std::string::npos)
        host.replace(place, 1, std::to_string(names_++));
    return host;
}

std::uint16_t run::target_port() const {
    return static_cast<std::uint16_t>(std::stoul(args.target.substr(args.target.rfind(':') + 1)));
}

std::string run::user(std::size_t n) const {
    return args.users == 1 ? args.user : args.user + std::to_string(n % args.users);
}

void start(run& in, awaitable<void> what) {
    asio::co_spawn(in.io, std::move(what), [&in](std::exception_ptr failed) {
        if (failed) ++in.counts["errors"];
    });
}

} // namespace muxsocks::attack
