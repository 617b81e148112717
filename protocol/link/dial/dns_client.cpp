#include "protocol/link/dial/dns_client.hpp"

#include "protocol/link/dial/resolve_error.hpp"

#include <algorithm>
#include <exception>

namespace muxsocks {

namespace {

/// How often each server is asked, with twice the patience each time.
std::size_t rounds_for(std::size_t servers) { return servers == 1 ? 3 : 2; }

} // namespace

/// One name and type. It lives until it has ended, and while a query of it is under way.
struct dns_client::question : std::enable_shared_from_this<question> {
    question(dns_client& owner, std::string asked, dns_type of, handler call)
        : name(std::move(asked)),
          type(of),
          done(std::move(call)),
          order(owner.order_.order()),
          patience(owner.clock_, [this, &owner] { owner.ask_next(shared_from_this()); }) {}

    /// One query, to the server order[number % order.size()].
    struct attempt {
        time_point begun{};
        /// Whether the server has said something in its time.
        bool in_time = false;
    };

    [[nodiscard]] std::size_t server_of(std::size_t number) const {
        return order[number % order.size()];
    }
    [[nodiscard]] bool has_failed(std::size_t server) const {
        return std::count(failed.begin(), failed.end(), server) > 0;
    }

    std::string name;
    dns_type type;
    handler done; ///< Empty once the question has ended.
    std::vector<std::size_t> order;
    std::vector<attempt> attempts;
    /// Servers that cannot answer this question.
    std::vector<std::size_t> failed;
    deadline patience;
};

dns_client::dns_client(asio::io_context& context, deadlines& clock,
                       const std::vector<asio::ip::udp::endpoint>& servers,
                       std::chrono::milliseconds timeout,
                       dns_servers::clock::duration between_probes)
    : context_(context), clock_(clock), timeout_(timeout), order_(0) {
    std::exception_ptr why;
    for (const auto& endpoint : servers) {
        try {
            servers_.push_back({endpoint, make_channel(endpoint)});
        } catch (const std::exception&) {
            why = std::current_exception();
        }
    }
    if (servers_.empty()) std::rethrow_exception(why);
    order_ = dns_servers(servers_.size(), between_probes);
}

dns_client::~dns_client() = default;

std::unique_ptr<ares_channel> dns_client::make_channel(const asio::ip::udp::endpoint& endpoint) {
    return std::make_unique<ares_channel>(
        context_, clock_, ares_channel::options{.server = endpoint, .timeout = timeout_});
}

ares_channel& dns_client::channel_of(server& one) {
    if (!one.channel->is_worn()) return *one.channel;
    std::erase_if(replaced_, [](const auto& each) { return each->is_idle(); });
    try {
        auto next = make_channel(one.endpoint);
        replaced_.push_back(std::exchange(one.channel, std::move(next)));
    } catch (const std::exception&) {
        // No descriptor or memory is left: the old one serves as well.
    }
    return *one.channel;
}

std::chrono::milliseconds dns_client::patience_for(std::size_t attempt) const {
    // So that all together are the time-out: 1 + 2 + 4 shares, or for n servers n(1 + 2).
    const auto n = servers_.size();
    const auto shares = static_cast<int>(n == 1 ? 7 : 3 * n);
    const auto share =
        std::max<std::chrono::milliseconds>(timeout_ / shares, std::chrono::milliseconds(1));
    return share * (1 << (attempt / n));
}

void dns_client::ask(std::string name, dns_type type, handler done) {
    const auto one = std::make_shared<question>(*this, std::move(name), type, std::move(done));
    questions_.insert(one);
    ask_next(one);
    probe(*one);
}

void dns_client::ask_next(const question_ptr& one) {
    const std::size_t all = servers_.size() * rounds_for(servers_.size());
    while (one->attempts.size() < all) {
        const std::size_t attempt = one->attempts.size();
        one->attempts.push_back({.begun = deadline::clock::now()});
        if (one->has_failed(one->server_of(attempt))) {
            one->attempts.back().in_time = true;
            continue;
        }
        one->patience.expires_after(patience_for(attempt));
        query(one, attempt);
        return;
    }
    const bool all_failed = one->failed.size() == servers_.size();
    end(one, all_failed ? resolve_errc::server_failure : resolve_errc::timed_out, {});
}

void dns_client::query(const question_ptr& one, std::size_t attempt) {
    // The channel is this object's, and its handlers go with it.
    channel_of(servers_[one->server_of(attempt)])
        .query(one->name, one->type,
               [this, one, attempt](std::error_code error, dns_records found) {
                   on_answer(one, attempt, error, std::move(found));
               });
}

void dns_client::probe(const question& one) {
    const auto begun = deadline::clock::now();
    const std::size_t to = order_.take_probe(begun);
    if (to == servers_.size()) return;
    channel_of(servers_[to])
        .query(one.name, one.type, [this, to, begun](std::error_code error, const dns_records&) {
            const auto took = deadline::clock::now() - begun;
            if (error != resolve_errc::timed_out && took < patience_for(0)) order_.on_answer(to);
        });
}

void dns_client::on_answer(const question_ptr& one, std::size_t attempt, std::error_code error,
                           dns_records found) {
    const auto now = deadline::clock::now();
    // Then the patience is at its end, or it is the last one's.
    if (error == resolve_errc::timed_out) return;
    const std::size_t from = one->server_of(attempt);
    auto& answered = one->attempts[attempt];
    if (now - answered.begun < patience_for(attempt)) {
        answered.in_time = true;
        order_.on_answer(from);
    }
    if (!one->done) return;
    if (error == resolve_errc::server_failure) {
        if (!one->has_failed(from)) one->failed.push_back(from);
        const bool is_last = attempt + 1 == one->attempts.size();
        const bool all_failed = one->failed.size() == servers_.size();
        if (is_last || all_failed) ask_next(one);
        return;
    }
    if (!error || error == resolve_errc::not_found || error == resolve_errc::no_address)
        note_silence(*one, from, now);
    end(one, error, std::move(found));
}

void dns_client::note_silence(const question& one, std::size_t answered_by, time_point now) {
    for (std::size_t i = 0; i < std::min(one.attempts.size(), servers_.size()); ++i) {
        const auto& attempt = one.attempts[i];
        const bool late = !attempt.in_time && now - attempt.begun >= patience_for(i);
        if (late && one.server_of(i) != answered_by) order_.on_silence(one.server_of(i), now);
    }
}

void dns_client::end(const question_ptr& one, std::error_code error, dns_records found) {
    const question_ptr kept = one;
    questions_.erase(kept);
    kept->patience.cancel();
    handler done = std::move(kept->done);
    done(error, std::move(found));
}

} // namespace muxsocks
