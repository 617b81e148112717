// The run itself: streams, mishaps, time, and what must hold at the end.

#include "tests/session_sim/world.hpp"

#include "tests/sim/test_crypto.hpp"

#include <algorithm>

namespace muxsocks::session_sim {
namespace {

using muxsocks::sim::seed_test_random;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr std::uint64_t steps_max = 10'000'000; ///< Small windows and turns need three.
constexpr unsigned retries_max = 30;

} // namespace

world::world(std::uint64_t seed, bool with_cuts, broken_rule broken)
    : plan_(seed, with_cuts, broken),
      random_(seed * 2 + (with_cuts ? 1 : 0) + 0x5eed),
      cuts_left_(plan_.cuts),
      hand_overs_left_(plan_.hand_overs),
      client_pool_(plan_.chunk_size),
      server_pool_(plan_.chunk_size) {
    seed_test_random(seed);
    if (plan_.process_memory > 0) budget_ = std::make_unique<memory_budget>(plan_.process_memory);
    for (const auto settings : {&plan_.client, &plan_.server}) {
        settings->pool = settings == &plan_.client ? &client_pool_ : &server_pool_;
        settings->budget = budget_.get();
    }
    plan_.server.find_user = [this](std::string_view user) {
        return user == plan_.client.user
                   ? std::optional(user_access{*plan_.client.key, plan_.user_streams})
                   : std::nullopt;
    };
    for (const auto& what : plan_.streams) {
        plans_.push_back(what);
        tries_.push_back(0);
        wait(plans_.back(), now_ + what.opens_after);
    }
    start_client();
}

void world::run() {
    const auto begin = now_;
    while (!calm_ || !quiet()) {
        require(++tally_.steps < steps_max, "too many steps: a livelock");
        require(now_ - begin < minutes(60), "an hour has passed: a livelock");
        if (step()) {
            idle_steps_ = 0;
            now_ += microseconds(random_.below(500));
        } else if (++idle_steps_ % 4 == 0) {
            jump();
        }
        if (!calm_ && streams_over()) calm_ = true;
    }
    check_ends();
    count();
}

bool world::step() {
    begin_streams();
    if (!calm_) mishap();
    bool anything = false;
    // Time goes on only where no application has anything to do.
    const bool all = idle_steps_ % 4 == 3;
    for (std::size_t i = 0; i < links_.size(); ++i)
        anything |= mind_link(*links_[i]);
    for (auto& c : clients_) {
        anything |= mind_client(c);
        anything |= c.user.play(now_, all);
    }
    for (auto& s : servers_) {
        anything |= mind_server(s);
        anything |= s.user.play(now_, all);
    }
    retry_refused();
    forget_links();
    return anything;
}

// ---- Streams

void world::wait(const stream_plan& what, instant opens_at) {
    const auto later = [](instant at, const waiting_stream& w) { return at < w.opens_at; };
    waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), opens_at, later),
                    {&what, opens_at});
}

void world::begin_streams() {
    while (!waiting_.empty() && waiting_.front().opens_at <= now_) {
        auto c = active_client();
        if (!c) {
            start_client();
            c = &clients_.back();
        }
        ++tally_.streams;
        c->user.open(*waiting_.front().what, now_);
        waiting_.pop_front();
    }
}

void world::retry_refused() {
    for (auto& c : clients_) {
        for (; c.parts_judged < c.user.parts.size(); ++c.parts_judged) {
            const auto& p = c.user.parts[c.parts_judged];
            if (!p.over()) break; // Judged in order, so that each is looked at once.
            const bool elsewhere = p.reset == errc::stream_refused || p.reset == errc::going_away ||
                                   (p.reset && p.reset == c.user.closed && !c.user.established);
            const auto tries = tries_[p.what->number - 1];
            if (p.aborted || !elsewhere || tries == retries_max) continue;
            // Opened again under a new number, as a client opens it on its next session.
            auto again = *p.what;
            again.number = static_cast<std::uint32_t>(plans_.size() + 1);
            plans_.push_back(again);
            tries_.push_back(tries + 1);
            wait(plans_.back(), now_ + milliseconds(20));
        }
    }
}

bool world::streams_over() const {
    const auto over = [](const auto& one) { return one.user.all_over(); };
    return waiting_.empty() && std::all_of(clients_.begin(), clients_.end(), over) &&
           std::all_of(servers_.begin(), servers_.end(), over);
}

// ---- What goes wrong, and time

void world::mishap() {
    if (cuts_left_ > 0 && random_.chance(1, plan_.cut_one_in)) cut_something();
    if (hand_overs_left_ > 0 && random_.chance(1, plan_.hand_over_one_in)) {
        if (random_.chance(1, 2) && !servers_.empty())
            hand_over(servers_[random_.below(servers_.size())]);
        else
            hand_over(clients_[random_.below(clients_.size())]);
    }
    for (auto& c : clients_)
        if (random_.chance(1, plan_.roles_one_in)) draw_roles(c);
    for (auto& each : servers_)
        if (random_.chance(1, plan_.roles_one_in)) draw_roles(each);
    if (plan_.retire && random_.chance(1, 200)) {
        const auto c = active_client();
        if (c && c->user.established) c->retired = true;
        plan_.retire = false;
    }
    if (plan_.go_away && !gone_away_ && random_.chance(1, 300)) {
        const auto s = servers_.empty() ? nullptr : &servers_[random_.below(servers_.size())];
        if (s && s->end.core().established()) {
            s->end.core().go_away(close_code::shutting_down, milliseconds(0), "stopping");
            s->gone_away = true;
            gone_away_ = true;
            ++tally_.go_aways;
        }
    }
    if (plan_.close && random_.chance(1, 1'000)) {
        plan_.close = false;
        if (random_.chance(1, 2) && !servers_.empty())
            servers_.back().end.core().close(close_code::normal, errc::closed_locally, "enough");
        else
            clients_.back().end.core().close(close_code::normal, errc::closed_locally, "enough");
    }
}

void world::jump() {
    std::optional<instant> next;
    const auto add = [&](std::optional<instant> at) {
        if (at && *at > now_ && (!next || *at < *next)) next = at;
    };
    for (const auto& l : links_) {
        add(l->up.next_arrival());
        add(l->down.next_arrival());
        if (!l->accepted) add(l->accepted_until);
    }
    for (const auto& c : clients_) {
        add(c.end.core().deadline());
        add(c.user.next_instant());
        add(c.dial_at);
        add(c.linger_until);
    }
    for (const auto& s : servers_) {
        add(s.end.core().deadline());
        add(s.user.next_instant());
        add(s.linger_until);
        if (s.alone_since) add(*s.alone_since + plan_.server_patience);
    }
    if (!waiting_.empty()) add(waiting_.front().opens_at);
    if (next)
        now_ = *next;
    else
        require(idle_steps_ < 100, "nothing will ever happen again: a deadlock");
}

// ---- What must hold at the end

bool world::quiet() const {
    const auto done = [](const auto& one) {
        const auto& core = one.end.core();
        if (core.closed()) return one.end.links.empty();
        // Where nothing is acknowledged, nobody knows of what is still on its way.
        const auto idle = [&core](const link_end& each) {
            return core.agreed().keeps || (each.laid.empty() && each.out->in_flight() == 0);
        };
        return core.attached() && core.may_end() && core.kept_held() == 0 &&
               core.memory_held() == 0 &&
               std::all_of(one.end.links.begin(), one.end.links.end(), idle);
    };
    for (const auto& s : servers_)
        if (s.peer->end.core().closed() && !s.end.core().closed()) return false;
    return streams_over() && std::all_of(clients_.begin(), clients_.end(), done) &&
           std::all_of(servers_.begin(), servers_.end(), done);
}

void world::check_ends() const {
    for (const auto& c : clients_) {
        check_closed(c);
        require(!c.user.number_used, "a client has used the number of a link twice");
        const bool both = c.peer && !c.end.core().closed() && !c.peer->end.core().closed();
        require(!both || !c.peer->gone_away || c.user.told_to_go, "GOAWAY was lost");
        require(!c.said_close || !c.peer || c.peer->end.core().error() == errc::closed_by_peer ||
                    c.peer->end.core().error() == errc::closed_locally,
                "CLOSE was lost");
        require(!c.said_close || !c.peer || !c.peer->left_alone, "CLOSE was not said everywhere");
        require(c.end.core().memory_held() == 0, "a client's session holds memory at the end");
        for (const auto& p : c.user.parts)
            check_pair(c, p);
    }
    for (const auto& s : servers_) {
        check_closed(s);
        for (const auto& p : s.user.parts)
            require(p.what || p.reset, "a stream without a request was not reset");
        require(s.end.core().memory_held() == 0, "a server's session holds memory at the end");
    }
    require(!budget_ || budget_->used() == 0, "the process's memory is held at the end");
}

void world::check_pair(const client_side& c, const part& asked) const {
    const part* answered = nullptr;
    if (c.peer) {
        for (const auto& p : c.peer->user.parts)
            if (p.what == asked.what) answered = &p;
    }
    if (asked.clean()) {
        require(answered != nullptr, "a stream ended in the normal way that the server never saw");
        require(answered->end_given || answered->refused, "an end was seen that was never sent");
    }
    if (asked.reset) check_reset(asked, answered, c);
    if (asked.reset == errc::stream_cancelled && answered && answered->dies)
        require(asked.had >= reply_size, "a reset has overtaken the last words in front of it");
    if (!answered) return;
    if (answered->clean()) require(asked.end_given, "an end was seen that was never sent");
    if (answered->reset) check_reset(*answered, &asked, *c.peer);
}

void world::check_reset(const part& p, const part* peer, const side& of) const {
    if (p.reset == of.user.closed) {
        const auto server = dynamic_cast<const server_side*>(&of);
        require(!server || !server->peer || !server->peer->orderly,
                "a session that ended in good order has cut a stream");
        return;
    }
    if (p.reset == errc::stream_cancelled)
        // A refusal may time out where its link is silent and nobody knows.
        return require(peer && (peer->aborted || (peer->refused && tally_.swallowed > 0)),
                       "cancelled by nobody");
    if (p.reset == errc::stream_shed) {
        const auto sheds = [](const auto& one) { return one.end.core().statistics().shed > 0; };
        return require(std::any_of(clients_.begin(), clients_.end(), sheds) ||
                           std::any_of(servers_.begin(), servers_.end(), sheds),
                       "shed by nobody");
    }
    if (p.reset == errc::stream_refused)
        return require(plan_.user_streams > 0 || gone_away_, "refused for nothing");
    if (p.reset == errc::going_away)
        return require(gone_away_ || of.user.closed, "told to go away by nobody");
    throw violation("a stream was reset: " + p.reset.message());
}

void world::check_closed(const side& of) const {
    const auto& user = of.user;
    const auto why = user.closed;
    if (!why || why == errc::closed_locally || why == errc::closed_by_peer) return;
    if (why == errc::resume_refused) return; // The server has checked its own end.
    const bool lost = why == errc::link_lost || why == errc::keepalive_timeout ||
                      why == errc::link_given_up || why == errc::link_replaced ||
                      why == errc::frame_timeout || why == errc::handshake_timeout ||
                      why == errc::acks_withheld;
    if (lost && !user.established) return;
    if (lost && !of.end.core().agreed().resumable) return;
    throw violation("a session was closed: " + why.message());
}

void world::count() {
    tally_.sessions += clients_.size();
    for (const auto& c : clients_) {
        tally_.add(c.end.core().statistics());
        tally_.limits_reached += c.user.limits_reached;
        if (c.user.established && !c.end.core().agreed().resumable) ++tally_.unresumable;
        if (c.orderly) ++tally_.orderly;
        for (const auto& p : c.user.parts)
            if (p.clean()) ++tally_.completed;
    }
    for (const auto& s : servers_) {
        tally_.add(s.end.core().statistics());
        if (s.expired) ++tally_.expired;
        for (const auto& p : s.user.parts)
            if (p.dies) ++tally_.last_words;
    }
}

} // namespace muxsocks::session_sim
