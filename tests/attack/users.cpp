// What a user can do who has a token: ask for too much, take too little, and come and go.

#include "tests/attack/attack.hpp"

#include <algorithm>
#include <functional>

namespace muxsocks::attack {
namespace {

constexpr std::size_t streams_max = 4'000;
constexpr std::size_t waiting_max = std::size_t{256} << 10U;

/// Sessions that are logged in again whenever the server has ended them. `act` is what each does,
/// again and again while its link takes it: false if it had nothing to do.
class hostile {
  public:
    hostile(run& in, std::size_t n, habits ways) : in_(in), n_(n), ways_(ways) {}
    virtual ~hostile() = default;

    awaitable<void> live() {
        while (!in_.over()) {
            auto made = std::make_shared<session>(in_.io, in_.server(n_), in_.user(n_), ways_);
            made->on_frame = [this](const wire::frame& frame) { on_frame(frame); };
            made->on_end = [this](const std::string& why) { in_.measured["ends"].fail(why); };
            own_ = made;
            try {
                co_await made->log_in();
                ++in_.counts["logins"];
                on_login();
            } catch (const std::exception& error) {
                in_.measured["logins"].fail(error.what());
                made->cut();
            }
            while (made->up() && !in_.over()) {
                const bool did = act();
                made->flush();
                co_await made->on().drained(waiting_max);
                co_await pause(in_.io, std::chrono::microseconds(did ? 50 : 2'000));
            }
            co_await pause(in_.io, std::chrono::milliseconds(50));
        }
    }

  protected:
    virtual void on_login() {}
    virtual bool act() = 0;
    virtual void on_frame(const wire::frame&) {}

    run& in() { return in_; }
    session& own() { return *own_; }

  private:
    run& in_;
    std::size_t n_;
    habits ways_;
    std::shared_ptr<session> own_;
};

template <class Kind>
awaitable<void> let_live(run& in, habits ways = {}) {
    std::vector<std::unique_ptr<Kind>> all;
    for (std::size_t n = 0; n < in.args.sessions; ++n) {
        all.push_back(std::make_unique<Kind>(in, n, ways));
        start(in, all.back()->live());
    }
    co_await in.until_over();
}

/// Opens streams at the rate, each of which ends when the server has answered.
class opener final : public hostile {
  public:
    using hostile::hostile;

  private:
    void on_login() override { open_ = 0; }
    bool act() override {
        if (open_ >= streams_max) return false;
        std::size_t due = std::min(in().due(), streams_max - open_);
        in().counts["opened"] += static_cast<double>(due);
        open_ += due;
        const bool any = due > 0;
        for (; due > 0; --due)
            own().open(in().request(), true);
        return any;
    }
    void on_frame(const wire::frame& frame) override {
        if ((frame.flags & (wire::fin | wire::rst)) == 0) return;
        if (open_ > 0) --open_;
        ++in().counts[(frame.flags & wire::rst) != 0 ? "reset" : "answered"];
    }

    std::size_t open_ = 0;
};

class resetter final : public hostile {
  public:
    using hostile::hostile;

  private:
    bool act() override {
        constexpr std::size_t at_once = 100;
        for (std::size_t i = 0; i < at_once; ++i)
            own().reset(own().open(in().request()));
        in().counts["opened"] += at_once;
        return true;
    }
};

/// As many streams as wanted, in steps, as soon as there is a session.
class holder : public hostile {
  public:
    using hostile::hostile;

  protected:
    void on_login() override { streams_.clear(); }
    bool open_more() {
        constexpr std::size_t at_once = 100;
        const auto each = std::max<std::size_t>(in().args.count / in().args.sessions, 1);
        if (streams_.size() >= each) return false;
        for (std::size_t i = 0; i < at_once && streams_.size() < each; ++i)
            streams_.push_back(own().open(in().request()));
        return true;
    }
    const std::vector<std::uint32_t>& streams() const { return streams_; }

  private:
    std::vector<std::uint32_t> streams_;
};

class dripper final : public holder {
  public:
    using holder::holder;

  private:
    bool act() override {
        if (open_more()) return true;
        constexpr std::array<std::uint8_t, 1> byte{'x'};
        constexpr std::size_t at_once = 2'000;
        for (std::size_t i = 0; i < at_once; ++i)
            own().write(streams()[next_++ % streams().size()], byte);
        in().counts["frames"] += at_once;
        return true;
    }

    std::size_t next_ = 0;
};

class withholder final : public holder {
  public:
    using holder::holder;

  private:
    bool act() override { return open_more(); }
    void on_frame(const wire::frame& frame) override {
        in().counts["bytes"] += static_cast<double>(frame.payload.size());
    }
};

awaitable<void> come_and_go(run& in, std::size_t n) {
    while (co_await in.go_on_after(std::chrono::milliseconds(50))) {
        const auto made = co_await try_log_in(in.io, in.server(n), in.user(n));
        if (!made) continue;
        ++in.counts["logins"];
        // A session cannot come back that holds nothing.
        made->open(in.request());
        made->flush();
        try {
            for (std::uint32_t number = 1; !in.over(); ++number) {
                co_await made->on().drained(0);
                made->cut();
                co_await made->come_back(number);
                ++in.counts["returns"];
            }
        } catch (const std::exception& error) {
            in.measured["returns"].fail(error.what());
        }
        made->cut();
    }
}

} // namespace

awaitable<void> open_streams(run& in) { co_await let_live<opener>(in); }

awaitable<void> reset_streams(run& in) { co_await let_live<resetter>(in); }

awaitable<void> send_tiny_frames(run& in) { co_await let_live<dripper>(in); }

awaitable<void> withhold(run& in) {
    // The reply needs ten bytes of credit; without more, the target's bytes stay at the server.
    if (in.args.kind == "credit")
        co_await let_live<withholder>(in, {16, true, false});
    else
        co_await let_live<withholder>(in, {1U << 20U, false, true});
}

awaitable<void> cut_sessions(run& in) {
    std::vector<std::shared_ptr<session>> all;
    std::size_t under_way = 0;
    const auto log_in = [&](std::size_t n) -> awaitable<void> {
        ++under_way;
        if (auto made = co_await try_log_in(in.io, in.server(n), in.user(n)))
            all.push_back(std::move(made));
        else
            ++in.counts["refused"];
        --under_way;
    };
    constexpr std::size_t at_once = 64;
    for (std::size_t n = 0; n < in.args.sessions && !in.over(); ++n) {
        start(in, log_in(n));
        while (under_way >= at_once)
            co_await pause(in.io, std::chrono::milliseconds(1));
    }
    while (under_way > 0)
        co_await pause(in.io, std::chrono::milliseconds(1));
    in.counts["sessions"] = static_cast<double>(all.size());
    in.tell("cut");
    for (const auto& each : all)
        each->cut();
    co_await in.until_over();
}

awaitable<void> rejoin(run& in) {
    for (std::size_t n = 0; n < in.args.sessions; ++n)
        start(in, come_and_go(in, n));
    co_await in.until_over();
}

} // namespace muxsocks::attack
