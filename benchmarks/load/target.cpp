#include "benchmarks/load/target.hpp"

#include "benchmarks/load/datagram_target.hpp"
#include "benchmarks/load/event_loop.hpp"
#include "benchmarks/load/transfer.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include <sys/socket.h>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// Written by both threads; read by whoever asks with operation::counters.
struct shared_counters {
    std::atomic<std::uint64_t> bytes_received{0};
    std::atomic<std::uint64_t> bytes_sent{0};
    std::atomic<std::uint64_t> faults{0};

    target_counters read() const { return {bytes_received, bytes_sent, faults}; }
};

struct target_state {
    event_loop quick; ///< accepts, echoes, answers; the main thread's
    event_loop bulk;
    shared_counters counters;
};

/// One accepted connection; deletes itself at its end. It lives in the quick loop, and moves to the
/// bulk loop for good when its request asks for a transfer.
class target_connection final : public event_handler {
  public:
    target_connection(target_state& state, file_descriptor socket)
        : state_(state), socket_(std::move(socket)) {
        state_.quick.watch(socket_.get(), EPOLLIN, *this);
    }

    void on_ready(std::uint32_t events) override {
        if (!serve(events)) delete this;
    }

  private:
    enum class kind { unknown, http, echo, counters, download, upload };

    /// Returns false when the connection is over.
    bool serve(std::uint32_t events) {
        switch (kind_) {
        case kind::unknown:
            return read_request();
        case kind::http:
            return read_http_head();
        case kind::echo:
            return echo();
        case kind::counters:
            return answer_counters();
        case kind::download:
            return download(events);
        case kind::upload:
            return upload();
        }
        return false;
    }

    /// Reads once. Nothing when there is nothing to read now; empty at the end of the connection.
    std::optional<std::span<std::uint8_t>> receive(std::span<std::uint8_t> buffer) {
        const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
        return buffer.first(size > 0 ? static_cast<std::size_t>(size) : 0);
    }

    bool read_request() {
        const auto buffer = state_.quick.shared_buffer();
        const auto bytes = receive(buffer.first(64 * 1024));
        if (!bytes) return true;
        return !bytes->empty() && take_request(*bytes);
    }

    bool take_request(std::span<const std::uint8_t> bytes) {
        if (request_bytes_ == 0 && bytes.front() == http_first_byte && !by_http_) {
            kind_ = kind::http;
            return take_http_head(bytes);
        }
        if (request_bytes_ == 0 && bytes.front() != request::first_byte) {
            kind_ = kind::echo;
            return echo_back(bytes);
        }
        // What follows the request, content or a question, may share its segment.
        const std::size_t part = std::min(sizeof(request) - request_bytes_, bytes.size());
        std::memcpy(reinterpret_cast<std::uint8_t*>(&request_) + request_bytes_, bytes.data(),
                    part);
        request_bytes_ += part;
        if (request_bytes_ < sizeof(request)) return true;
        if (!request_.valid()) return false;
        return begin(bytes.subspan(part));
    }

    bool read_http_head() {
        const auto bytes = receive(state_.quick.shared_buffer().first(http_head_max));
        if (!bytes) return true;
        return !bytes->empty() && take_http_head(*bytes);
    }

    /// Answered at once: what is behind the head, the request's body, goes on like a connection
    /// without HTTP, and so does the answer's, which ends with the connection.
    bool take_http_head(std::span<const std::uint8_t> bytes) {
        pending_.insert(pending_.end(), bytes.begin(), bytes.end());
        constexpr std::string_view end = "\r\n\r\n";
        const auto found = std::search(pending_.begin(), pending_.end(), end.begin(), end.end());
        if (found == pending_.end()) return pending_.size() < http_head_max;
        const std::vector<std::uint8_t> rest(found + end.size(), pending_.end());
        pending_.clear();
        constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        if (send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(answer.size()))
            return false;
        by_http_ = true;
        kind_ = kind::unknown;
        return rest.empty() || take_request(rest);
    }

    bool begin(std::span<const std::uint8_t> rest) {
        if (request_.op == operation::counters) {
            kind_ = kind::counters;
            return rest.empty() || send_counters();
        }
        state_.quick.forget(socket_.get());
        if (request_.op == operation::upload) {
            kind_ = kind::upload;
            if (!rest.empty() && !take_upload(rest)) return false;
            state_.bulk.watch(socket_.get(), EPOLLIN, *this);
        } else {
            kind_ = kind::download;
            sender_.emplace(request_.seed, request_.length);
            // A slow proxy may bring the stop together with the request.
            if (!rest.empty() && !take_from_downloader(rest)) return false;
            state_.bulk.watch(socket_.get(), EPOLLIN | EPOLLOUT, *this);
        }
        return true; // from here on the bulk thread owns this object
    }

    bool echo() {
        if (!pending_.empty()) return send_pending();
        const auto bytes = receive(state_.quick.shared_buffer().first(64 * 1024));
        if (!bytes) return true;
        return !bytes->empty() && echo_back(*bytes);
    }

    bool echo_back(std::span<const std::uint8_t> bytes) {
        const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return false;
        bytes = bytes.subspan(sent > 0 ? static_cast<std::size_t>(sent) : 0);
        if (bytes.empty()) return !by_http_; // There the end of the connection is the answer's.
        pending_.assign(bytes.begin(), bytes.end());
        state_.quick.change(socket_.get(), EPOLLOUT, *this);
        return true;
    }

    bool send_pending() {
        const ssize_t sent = send(socket_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        pending_.erase(pending_.begin(), pending_.begin() + sent);
        if (pending_.empty()) {
            pending_.shrink_to_fit();
            state_.quick.change(socket_.get(), EPOLLIN, *this);
        }
        return true;
    }

    bool answer_counters() {
        const auto bytes = receive(state_.quick.shared_buffer().first(64));
        if (!bytes) return true;
        return !bytes->empty() && send_counters();
    }

    bool send_counters() {
        const target_counters counters = state_.counters.read();
        return send(socket_.get(), &counters, sizeof counters, MSG_NOSIGNAL) == sizeof counters;
    }

    bool download(std::uint32_t events) {
        if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && !read_from_downloader())
            return false;
        if ((events & EPOLLOUT) == 0 || sender_->finished()) return true;
        const auto sent = sender_->write_once(socket_.get());
        if (!sent) return false;
        state_.counters.bytes_sent.fetch_add(*sent, std::memory_order_relaxed);
        if (sender_->finished()) state_.bulk.change(socket_.get(), EPOLLIN, *this);
        return true;
    }

    /// The one byte that stops an endless download, and at the end the receiver's report.
    bool read_from_downloader() {
        const auto bytes = receive(state_.bulk.shared_buffer().first(64));
        if (!bytes) return true;
        return !bytes->empty() && take_from_downloader(*bytes);
    }

    bool take_from_downloader(std::span<const std::uint8_t> rest) {
        if (request_.length == 0 && !stop_seen_) {
            stop_seen_ = true;
            sender_->stop();
            rest = rest.subspan(1);
        }
        for (const std::uint8_t byte : rest)
            pending_.push_back(byte);
        if (pending_.size() < sizeof(report)) return true;
        report theirs;
        std::memcpy(&theirs, pending_.data(), sizeof theirs);
        if (!sender_->finished() || theirs != sender_->sent()) ++state_.counters.faults;
        return false;
    }

    bool upload() {
        const auto bytes = receive(state_.bulk.shared_buffer());
        if (!bytes) return true;
        return !bytes->empty() && take_upload(*bytes);
    }

    bool take_upload(std::span<const std::uint8_t> bytes) {
        const std::uint64_t before = receiver_.bytes();
        const auto state = receiver_.take(bytes);
        state_.counters.bytes_received.fetch_add(receiver_.bytes() - before,
                                                 std::memory_order_relaxed);
        if (state == content_receiver::state::receiving) return true;
        if (!receiver_.intact()) ++state_.counters.faults;
        const report mine = receiver_.received();
        return send(socket_.get(), &mine, sizeof mine, MSG_NOSIGNAL) == sizeof mine &&
               state == content_receiver::state::finished;
    }

    static constexpr std::uint8_t http_first_byte = 'P'; ///< of POST
    static constexpr std::size_t http_head_max = 4096;

    target_state& state_;
    file_descriptor socket_;
    kind kind_ = kind::unknown;
    bool by_http_ = false;
    bool stop_seen_ = false;
    request request_;
    std::size_t request_bytes_ = 0;
    std::optional<content_sender> sender_;
    content_receiver receiver_;
    std::vector<std::uint8_t> pending_; ///< echo: not yet sent; download: report under way
};

class target_listener final : public event_handler {
  public:
    target_listener(target_state& state, file_descriptor socket)
        : state_(state), socket_(std::move(socket)) {
        state_.quick.watch(socket_.get(), EPOLLIN, *this);
    }

    void on_ready(std::uint32_t /*events*/) override {
        for (int i = 0; i < 64; ++i) {
            file_descriptor accepted(
                accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!accepted) {
                // Out of descriptors: the connection stays queued, and the pause keeps the loop
                // from spinning.
                if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(10ms);
                return;
            }
            new target_connection(state_, std::move(accepted)); // deletes itself
        }
    }

    endpoint local() const { return endpoint::of_local(socket_.get()); }

  private:
    target_state& state_;
    file_descriptor socket_;
};

volatile std::sig_atomic_t stop_requested = 0;
extern "C" void request_stop(int /*signal*/) { stop_requested = 1; }

} // namespace

void run_target(const std::vector<endpoint>& locals, const socket_settings& settings) {
    target_state state;
    std::vector<std::unique_ptr<target_listener>> listeners;
    std::vector<std::unique_ptr<datagram_target>> datagrams;
    auto addresses = nlohmann::json::array();
    for (const endpoint& local : locals) {
        listeners.push_back(std::make_unique<target_listener>(state, listen_on(local, settings)));
        const auto served = listeners.back()->local();
        datagrams.push_back(std::make_unique<datagram_target>(served));
        addresses.push_back(served.text());
    }
    std::signal(SIGTERM, request_stop);
    std::signal(SIGINT, request_stop);
    std::cout << nlohmann::json{{"listening", addresses}}.dump() << std::endl;

    std::jthread bulk([&state](const std::stop_token& stop) {
        while (!stop.stop_requested() && stop_requested == 0)
            state.bulk.turn(100ms);
    });
    std::vector<std::jthread> threads;
    for (const auto& one : datagrams)
        threads.emplace_back([&one](const std::stop_token& stop) {
            while (!stop.stop_requested() && stop_requested == 0)
                one->turn(100ms);
        });
    while (stop_requested == 0)
        state.quick.turn(100ms);
}

} // namespace muxsocks::load
