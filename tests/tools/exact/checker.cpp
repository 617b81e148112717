#include "tests/tools/exact/checker.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

namespace muxsocks::tools {
namespace {

using boost::system::error_code;

constexpr std::uint64_t magic = 0x6d75786578616374; // "muxexact"

/// What the client sends first: which transfer this connection is. Both ends are in this program.
struct header {
    std::uint64_t magic;
    std::uint64_t id;
};

asio::ip::tcp::endpoint to_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos)
        throw std::invalid_argument("'" + text + "' is not ADDRESS:PORT");
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    return {asio::ip::make_address(host),
            static_cast<unsigned short>(std::stoul(text.substr(colon + 1)))};
}

std::optional<order> to_order(const std::string& text) {
    if (text == "together") return order::together;
    if (text == "client-first") return order::client_first;
    if (text == "target-first") return order::target_first;
    if (text == "target-ends") return order::target_ends;
    if (text == "mixed") return std::nullopt;
    throw std::invalid_argument("'" + text + "' is no order");
}

} // namespace

checker::checker(const arguments& parsed)
    : up_(parse_size_range(parsed.up)),
      down_(parse_size_range(parsed.down)),
      way_(to_order(parsed.way)),
      pace_(parse_rate(parsed.pace)),
      deadline_(parse_duration(parsed.deadline)),
      transfers_(parsed.transfers),
      concurrency_(parsed.concurrency),
      seed_(parsed.seed),
      resets_ok_(parsed.resets_ok),
      random_(parsed.seed) {
    if (!parsed.period.empty()) period_ = parse_duration(parsed.period);
    const auto listen = to_endpoint(parsed.listen);
    acceptor_.open(listen.protocol());
    acceptor_.set_option(tcp_acceptor::reuse_address(true));
    acceptor_.bind(listen);
    acceptor_.listen(4096);
    if (!parsed.socks.empty()) route_.proxy = to_endpoint(parsed.socks);
    route_.user = parsed.user;
    route_.password = parsed.password;
    route_.target = acceptor_.local_endpoint();
    route_.target_name = parsed.target_name;
    route_.deadline = deadline_;
}

bool checker::run() {
    accept();
    for (std::uint64_t i = 0; i < concurrency_ && more_to_start(); ++i)
        start_one();
    io_.run();
    seconds_ = std::chrono::duration<double>(clock::now() - began_).count();
    std::uint64_t wrong = 0;
    for (std::size_t i = 1; i < outcomes; ++i)
        if (!resets_ok_ || i > static_cast<std::size_t>(outcome::refused)) wrong += counts_[i];
    return wrong == 0 && next_id_ != 0;
}

bool checker::more_to_start() const {
    return period_ ? clock::now() - began_ < *period_ : next_id_ < transfers_;
}

void checker::accept() {
    acceptor_.async_accept([this](error_code error, tcp_socket socket) {
        if (!acceptor_.is_open()) return;
        if (!error) serve(std::move(socket));
        accept();
    });
}

exchange_plan checker::plan(std::uint64_t id, const transfer& which, bool at_target) const {
    // Keys far apart: the pattern at a key overlaps with the one at a key near it.
    const std::uint64_t key = (seed_ * 1'000'003 + id) << 33U;
    exchange_plan planned;
    planned.send_key = key;
    planned.receive_key = key + (std::uint64_t{1} << 32U);
    planned.send_bytes = which.up_bytes;
    planned.receive_bytes = which.down_bytes;
    planned.send_after_end = which.way == (at_target ? order::client_first : order::target_first);
    planned.end_after_input = at_target && which.way == order::target_ends;
    planned.end_after_end = !at_target && which.way == order::target_ends;
    planned.pace = pace_;
    planned.deadline = deadline_;
    if (at_target) {
        std::swap(planned.send_key, planned.receive_key);
        std::swap(planned.send_bytes, planned.receive_bytes);
    }
    return planned;
}

/// The target's end: the header tells which transfer it is.
void checker::serve(tcp_socket socket) {
    struct pending {
        tcp_socket socket;
        header first{};
    };
    const auto waiting = std::make_shared<pending>(pending{std::move(socket)});
    asio::async_read(waiting->socket, asio::buffer(&waiting->first, sizeof(header)),
                     [this, waiting](error_code error, std::size_t) {
                         const auto found = open_.find(waiting->first.id);
                         if (error || waiting->first.magic != magic || found == open_.end()) return;
                         const std::uint64_t id = found->first;
                         found->second.target_began = true;
                         std::make_shared<exchange>(io_, std::move(waiting->socket),
                                                    plan(id, found->second, true),
                                                    [this, id](const result& ended) {
                                                        open_.at(id).target = ended;
                                                        settle(id);
                                                    })
                             ->start();
                     });
}

void checker::start_one() {
    const std::uint64_t id = next_id_++;
    transfer& added = open_[id];
    added.up_bytes = draw(up_, random_);
    added.down_bytes = draw(down_, random_);
    added.way = way_.value_or(static_cast<order>(id % 3));
    ++clients_busy_;
    std::make_shared<socks_dialer>(io_, route_,
                                   [this, id](tcp_socket socket, const std::string& error) {
                                       if (!error.empty())
                                           return client_done(id, {outcome::refused, error});
                                       send_header(id, std::move(socket));
                                   })
        ->start();
}

void checker::send_header(std::uint64_t id, tcp_socket socket) {
    const header first{magic, id};
    error_code error; // a fresh socket takes so few bytes at once
    asio::write(socket, asio::buffer(&first, sizeof first), error);
    if (error) return client_done(id, {outcome::reset, "header: " + error.message()});
    std::make_shared<exchange>(io_, std::move(socket), plan(id, open_.at(id), false),
                               [this, id](const result& ended) { client_done(id, ended); })
        ->start();
}

void checker::client_done(std::uint64_t id, const result& ended) {
    open_.at(id).client = ended;
    --clients_busy_;
    settle(id);
    if (more_to_start()) start_one();
}

/// Counts a transfer when both of its ends are over; one that never reached the target has one.
void checker::settle(std::uint64_t id) {
    const auto found = open_.find(id);
    transfer& which = found->second;
    const bool never_began =
        which.client && which.client->what != outcome::ok && !which.target_began;
    if (which.client && (which.target || never_began)) {
        const result target = which.target.value_or(result{});
        const bool target_worse = target.what > which.client->what;
        const result& worst = target_worse ? target : *which.client;
        ++counts_[static_cast<std::size_t>(worst.what)];
        if (worst.what == outcome::ok) {
            up_done_ += which.up_bytes;
            down_done_ += which.down_bytes;
        } else if (failures_.size() < 20) {
            failures_.push_back(std::to_string(id) + ": " + std::string(name(worst.what)) +
                                (target_worse ? " at the target: " : " at the client: ") +
                                worst.detail);
        }
        open_.erase(found);
    }
    if (open_.empty() && clients_busy_ == 0 && !more_to_start()) {
        acceptor_.close();
        io_.stop();
    }
}

std::string checker::describe() const {
    std::string line = "{\"transfers\": " + std::to_string(next_id_);
    for (std::size_t i = 0; i < outcomes; ++i)
        line += ", \"" + std::string(name(static_cast<outcome>(i))) +
                "\": " + std::to_string(counts_[i]);
    line += ", \"up_bytes\": " + std::to_string(up_done_) +
            ", \"down_bytes\": " + std::to_string(down_done_) +
            ", \"seconds\": " + std::to_string(seconds_) + ", \"failures\": [";
    for (std::size_t i = 0; i < failures_.size(); ++i)
        line += (i == 0 ? "\"" : ", \"") + failures_[i] + "\"";
    return line + "]}";
}

} // namespace muxsocks::tools
