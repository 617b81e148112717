#include "benchmarks/load/idle_streams.hpp"

#include "benchmarks/load/content.hpp"
#include "benchmarks/load/transfer.hpp"

#include <algorithm>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// As many handshakes, and exchanges, are under way at once.
constexpr std::size_t at_once = 64;

} // namespace

class idle_stream final : public stream {
  public:
    idle_stream(event_loop& loop, const route& way, std::span<const std::uint8_t> content)
        : stream(loop, way), content_(content) {}

    /// Sends the content; it comes back by itself.
    void carry() {
        if (current() == state::open) send_small(content_.data(), content_.size());
    }

    bool opened() const { return current() == state::open; }
    bool carried() const { return opened() && returned_ == content_.size(); }
    bool wrong() const { return wrong_; }

  protected:
    void on_open() override {}

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(std::size_t(-1));
        if (!bytes) return;
        if (bytes->size() > content_.size() - returned_ ||
            !std::equal(bytes->begin(), bytes->end(),
                        content_.begin() + static_cast<std::ptrdiff_t>(returned_))) {
            wrong_ = true;
            finish();
            return;
        }
        returned_ += bytes->size();
    }

  private:
    std::span<const std::uint8_t> content_;
    std::size_t returned_ = 0;
    bool wrong_ = false;
};

idle_streams::idle_streams(event_loop& loop, const route& way, std::size_t count,
                           std::uint64_t bytes)
    : loop_(loop) {
    const auto block = content_block();
    for (std::uint64_t i = 0; i < bytes; ++i)
        content_.push_back(block[i % block.size()]);
    // The target takes a connection that begins with this byte for something else than echo.
    if (!content_.empty() && content_.front() == request::first_byte) content_.front() ^= 1U;
    for (std::size_t i = 0; i < count; ++i) {
        streams_.push_back(std::make_unique<idle_stream>(loop, way, content_));
    }
}

idle_streams::~idle_streams() = default;

bool idle_streams::open(clock::time_point deadline) { return run(step::open, deadline); }
bool idle_streams::carry(clock::time_point deadline) { return run(step::carry, deadline); }

bool idle_streams::run(step what, clock::time_point deadline) {
    const auto done = [&](const idle_stream& one) {
        return what == step::open ? one.opened() : one.carried();
    };
    const auto ended = [](const idle_stream& one) { return one.current() == stream::state::ended; };
    std::size_t started = 0;
    std::size_t settled = 0;
    while (settled < streams_.size() && clock::now() < deadline) {
        for (; started < streams_.size() && started - settled < at_once; ++started) {
            if (what == step::open) {
                streams_[started]->start();
            } else {
                streams_[started]->carry();
            }
        }
        while (settled < started && (done(*streams_[settled]) || ended(*streams_[settled]))) {
            ++settled;
        }
        if (settled < streams_.size()) loop_.turn(settled == started ? 0ms : turn_wait);
    }
    return std::all_of(streams_.begin(), streams_.end(),
                       [&](const auto& one) { return done(*one); });
}

void idle_streams::hold(clock::time_point until) {
    for (auto now = clock::now(); now < until; now = clock::now()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
        loop_.turn(std::min<std::chrono::milliseconds>(left, 100ms));
    }
}

void idle_streams::add_to(outcome& all) const {
    for (const auto& one : streams_) {
        if (one->wrong()) {
            ++all.wrong;
        } else if (one->current() == stream::state::ended) {
            all.add_failure(one->failure());
        } else if (!one->carried()) {
            ++all.unfinished;
        }
    }
}

} // namespace muxsocks::load
