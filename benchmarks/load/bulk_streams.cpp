#include "benchmarks/load/bulk_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// Handshakes under way at once: enough to keep a proxy busy, well below any listener's backlog.
constexpr std::size_t opening_at_once = 64;

class download_stream final : public bulk_stream {
  public:
    download_stream(event_loop& loop, const route& way, std::uint64_t seed, std::uint64_t length)
        : bulk_stream(loop, way) {
        request_.op = operation::download;
        request_.seed = seed;
        request_.length = length;
    }

    void begin() override { send_small(&request_, sizeof request_); }

    void stop() override {
        if (current() == state::open && request_.length == 0) send_small("S", 1);
    }

    void pause(bool paused) override {
        if (current() == state::open) watch(paused ? 0U : EPOLLIN);
    }

    std::uint64_t bytes() const override { return receiver_.bytes(); }

  protected:
    std::uint64_t bytes_to_send() const override {
        return sizeof request_ + (request_.length == 0 ? 1 : 0) + sizeof(report);
    }

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(std::size_t(-1));
        if (!bytes || receiver_.take(*bytes) == content_receiver::state::receiving) return;
        const report mine = receiver_.received();
        const bool intact = receiver_.intact();
        if (send_small(&mine, sizeof mine)) complete(intact);
    }

  private:
    request request_;
    content_receiver receiver_;
};

class upload_stream final : public bulk_stream {
  public:
    upload_stream(event_loop& loop, const route& way, std::uint64_t seed, std::uint64_t length)
        : bulk_stream(loop, way), sender_(seed, length) {
        request_.op = operation::upload;
        request_.seed = seed;
        request_.length = length;
    }

    void begin() override {
        if (send_small(&request_, sizeof request_)) watch(EPOLLIN | EPOLLOUT);
    }

    void stop() override { sender_.stop(); }
    std::uint64_t bytes() const override { return taken_; }

  protected:
    void on_io(std::uint32_t events) override {
        if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0 && !read_report()) return;
        if ((events & EPOLLOUT) == 0 || sender_.finished()) return;
        const auto taken = sender_.write_once(socket());
        if (!taken) {
            fail(std::string("send: ") + std::strerror(errno));
            return;
        }
        taken_ += *taken;
        if (sender_.finished()) watch(EPOLLIN);
    }

  private:
    /// False when the stream has ended.
    bool read_report() {
        const auto bytes = receive(sizeof(report) - report_bytes_);
        if (!bytes) return current() == state::open;
        std::memcpy(reinterpret_cast<std::uint8_t*>(&theirs_) + report_bytes_, bytes->data(),
                    bytes->size());
        report_bytes_ += bytes->size();
        if (report_bytes_ < sizeof(report)) return true;
        complete(sender_.finished() && theirs_ == sender_.sent());
        return false;
    }

    request request_;
    content_sender sender_;
    std::uint64_t taken_ = 0;
    report theirs_;
    std::size_t report_bytes_ = 0;
};

} // namespace

void bulk_stream::complete(bool intact) {
    wrong_ = !intact;
    complete_ = true;
    finish();
}

bulk_streams::bulk_streams(event_loop& loop, const route& way, direction towards, std::size_t count,
                           std::uint64_t length)
    : loop_(loop) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t seed = i + 1;
        if (towards == direction::down) {
            streams_.push_back(std::make_unique<download_stream>(loop, way, seed, length));
        } else {
            streams_.push_back(std::make_unique<upload_stream>(loop, way, seed, length));
        }
    }
}

bool bulk_streams::open(clock::time_point deadline) {
    std::size_t started = 0;
    std::size_t settled = 0; // all before it are open or have ended
    const auto is_settled = [&](std::size_t i) {
        const auto state = streams_[i]->current();
        return state == stream::state::open || state == stream::state::ended;
    };
    while (settled < streams_.size() && clock::now() < deadline) {
        while (started < streams_.size() && started - settled < opening_at_once) {
            streams_[started++]->start();
        }
        while (settled < started && is_settled(settled))
            ++settled;
        if (settled < streams_.size()) loop_.turn(settled == started ? 0ms : turn_wait);
    }
    return std::all_of(streams_.begin(), streams_.end(),
                       [](const auto& one) { return one->current() == stream::state::open; });
}

void bulk_streams::begin() {
    for (const auto& one : streams_) {
        if (one->current() == stream::state::open) one->begin();
    }
}

void bulk_streams::stop() {
    for (const auto& one : streams_)
        one->stop();
}

void bulk_streams::pause(bool paused) {
    for (const auto& one : streams_)
        one->pause(paused);
}

bool bulk_streams::all_ended() const {
    return std::all_of(streams_.begin(), streams_.end(),
                       [](const auto& one) { return one->current() == stream::state::ended; });
}

bool bulk_streams::run_until_ended(clock::time_point deadline) {
    while (!all_ended()) {
        if (clock::now() >= deadline) return false;
        loop_.turn(turn_wait);
    }
    return true;
}

void bulk_streams::run_until(clock::time_point deadline) {
    for (auto now = clock::now(); now < deadline && !all_ended(); now = clock::now()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
        loop_.turn(std::min<std::chrono::milliseconds>(left, turn_wait));
    }
}

std::uint64_t bulk_streams::bytes() const {
    std::uint64_t sum = 0;
    for (const auto& one : streams_)
        sum += one->bytes();
    return sum;
}

void bulk_streams::add_to(outcome& all) const {
    for (const auto& one : streams_) {
        if (one->wrong()) {
            ++all.wrong;
        } else if (one->current() != stream::state::ended) {
            ++all.unfinished;
        } else if (!one->complete()) {
            all.add_failure(one->failure());
        }
    }
}

void bulk_streams::write_rates(json& result, clock::time_point begin) const {
    double slowest = 0;
    double fastest = 0;
    for (const auto& one : streams_) {
        const auto end = one->complete() ? one->ended_at() : clock::now();
        const double rate = static_cast<double>(one->bytes()) / 1e6 / seconds_between(begin, end);
        if (one == streams_.front() || rate < slowest) slowest = rate;
        fastest = std::max(fastest, rate);
    }
    result["slowest_stream_mb_per_second"] = slowest;
    result["fastest_stream_mb_per_second"] = fastest;
}

} // namespace muxsocks::load
