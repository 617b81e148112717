#include "protocol/link/dial/resolver.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>

namespace muxsocks {

namespace {

constexpr std::uint16_t dns_port = 53;

/// Of two reasons for having found nothing, the one that says more about what to do.
std::error_code more_telling(std::error_code a, std::error_code b) {
    constexpr std::array<resolve_errc, 5> order{
        resolve_errc::not_found, resolve_errc::no_address, resolve_errc::bad_name,
        resolve_errc::server_failure, resolve_errc::timed_out};
    const auto rank = [&](const std::error_code& error) {
        if (!error) return std::ptrdiff_t{-1};
        return std::find(order.begin(), order.end(), error) - order.begin();
    };
    return rank(a) < rank(b) ? b : a;
}

} // namespace

/// One name's way, through the search domains if it is a short one; two queries for each candidate.
///
///     asking -- first addresses, the other family not answered --> partly answered --> ended
///        |                                                                               ^
///        +-- both answered, or out of time ----------------------------------------------+
///
/// It lives while a query of it is under way, also when it has ended or was cancelled.
struct resolver::lookup {
    lookup(resolver& owner, lookup_id number, handler call)
        : alive(owner.alive_),
          id(number),
          done(std::move(call)),
          timeout(owner.clock_, [this] { on_deadline(&resolver::on_timeout); }),
          delay(owner.clock_, [this] { on_deadline(&resolver::on_resolution_delay); }) {}

    /// Deadlines are only set while the lookup is in the resolver's table.
    void on_deadline(void (resolver::*then)(const std::shared_ptr<lookup>&)) {
        resolver& owner = **alive;
        (owner.*then)(std::shared_ptr(owner.lookups_.at(id)));
    }

    /// Leaves nothing but what the questions under way need. The client owns these and they own the
    /// lookup, so it must not go on owning the client.
    void end() {
        timeout.cancel();
        delay.cancel();
        dns.reset();
        done.reset();
    }

    /// The resolver's mark of the same name.
    std::shared_ptr<resolver*> alive;
    lookup_id id;
    handler done;
    /// Held because questions that are under way need it when the resolver has a new one already.
    std::shared_ptr<dns_client> dns;
    std::vector<std::string> candidates;
    std::size_t next_candidate = 0;
    /// Queries for the current candidate that are not answered yet.
    int unanswered = 0;
    /// Addresses that wait for the other family's answer.
    std::vector<asio::ip::address> held_back;
    /// Whether addresses have been passed on; then nothing is held back.
    bool partly_answered = false;
    std::error_code error;
    deadline timeout;
    deadline delay;
};

/// Of the other direction: one question, which the client holds as long as it takes.
struct resolver::name_lookup {
    name_lookup(name_handler call, std::shared_ptr<dns_client> by)
        : done(std::move(call)), dns(std::move(by)) {}

    name_handler done;
    /// As with lookups.
    std::shared_ptr<dns_client> dns;
};

resolver::resolver(asio::io_context& context, deadlines& clock, resolver_options options)
    : context_(context),
      clock_(clock),
      options_(std::move(options)),
      hosts_(options_.hosts_path),
      resolv_conf_watch_(options_.resolv_conf_path),
      alive_(std::make_shared<resolver*>(this)) {
    if (!options_.servers.empty())
        dns_ = std::make_shared<dns_client>(context_, clock_, options_.servers, options_.timeout);
    refresh_system_dns();
}

resolver::~resolver() {
    *alive_ = nullptr;
    // Handlers may own what ends lookups in turn, so the tables are taken away first.
    const auto names_ended = std::exchange(name_lookups_, {});
    const auto ended = std::exchange(lookups_, {});
    for (const auto& [id, one] : ended)
        one->end();
}

void resolver::refresh_system_dns() {
    if (!options_.servers.empty() && !options_.search_short_names) return;
    if (!resolv_conf_watch_.has_changed(std::chrono::steady_clock::now())) return;
    system_ = read_resolv_conf(options_.resolv_conf_path);
    if (!options_.search_short_names) system_.search.clear();
    if (!options_.servers.empty()) return;
    std::vector<asio::ip::udp::endpoint> servers;
    for (const auto& address : system_.servers)
        servers.emplace_back(address, dns_port);
    try {
        dns_ = std::make_shared<dns_client>(context_, clock_, servers, options_.timeout);
        failed_.clear();
    } catch (const std::exception&) {
        // At the start there is nothing else; later the old servers are better than none.
        if (!dns_) throw;
    }
}

resolver::lookup_id resolver::resolve(std::string_view host, handler done) {
    const lookup_id id = ++last_id_;
    const auto one = std::make_shared<lookup>(*this, id, std::move(done));
    lookups_.emplace(id, one);

    if (const auto address = parse_numeric_host(host)) {
        answer_later(id, {}, {*address});
    } else if (!is_host_name(host)) {
        answer_later(id, resolve_errc::bad_name, {});
    } else if (const auto& known = hosts_.find(host); !known.empty()) {
        answer_later(id, {}, known);
    } else if (is_localhost_name(host)) {
        answer_later(id, {}, {asio::ip::address_v6::loopback(), asio::ip::address_v4::loopback()});
    } else if (is_never_in_dns(host)) {
        // Health checks ask for such a name, and must not depend on a DNS server.
        answer_later(id, resolve_errc::not_found, {});
    } else {
        refresh_system_dns();
        if (const auto error = failed_.find(canonical_host_name(host), deadline::clock::now())) {
            answer_later(id, error, {});
            return id;
        }
        one->candidates = system_.candidates(host);
        ask_dns(one);
    }
    return id;
}

resolver::lookup_id resolver::resolve_name(const asio::ip::address& address, name_handler done) {
    const lookup_id id = ++last_id_;
    if (address.is_loopback()) {
        // DNS is not to be asked (RFC 6761 section 6.1).
        name_lookups_.emplace(id, std::make_shared<name_lookup>(std::move(done), nullptr));
        asio::post(context_, [alive = alive_, id] {
            if (*alive != nullptr) (*alive)->on_name(id, {}, "localhost");
        });
        return id;
    }
    refresh_system_dns();
    const auto dns = dns_;
    name_lookups_.emplace(id, std::make_shared<name_lookup>(std::move(done), dns));
    dns->ask(reverse_name(address), dns_type::ptr,
             [alive = alive_, id](std::error_code error, const dns_records& found) {
                 if (*alive != nullptr) (*alive)->on_name(id, error, found.name);
             });
    return id;
}

void resolver::on_name(lookup_id id, std::error_code error, const std::string& name) {
    const auto found = name_lookups_.find(id);
    if (found == name_lookups_.end()) return;
    const auto ended = std::move(found->second);
    name_lookups_.erase(found);
    if (ended->dns && options_.on_dns_result) options_.on_dns_result(error);
    ended->done(error, name);
}

void resolver::cancel(lookup_id id) {
    // The handler may own what calls back into this object.
    if (const auto name = name_lookups_.extract(id)) return;
    const auto found = lookups_.find(id);
    if (found == lookups_.end()) return;
    // The handler may own what calls back into this object.
    const std::shared_ptr<lookup> one = std::move(found->second);
    lookups_.erase(found);
    one->end();
}

void resolver::answer_later(lookup_id id, std::error_code error,
                            std::vector<asio::ip::address> found) {
    std::stable_partition(found.begin(), found.end(), [this](const asio::ip::address& address) {
        return address.is_v4() == options_.prefer_ipv4;
    });
    asio::post(context_, [alive = alive_, id, error, found = std::move(found)] {
        if (*alive == nullptr) return;
        const auto one = (*alive)->lookups_.find(id);
        if (one == (*alive)->lookups_.end()) return;
        (*alive)->finish(std::shared_ptr(one->second), error, found);
    });
}

void resolver::ask_dns(const std::shared_ptr<lookup>& one) {
    one->dns = dns_;
    one->timeout.expires_after(options_.timeout);
    ask_next_candidate(one);
}

void resolver::ask_next_candidate(const std::shared_ptr<lookup>& one) {
    const std::string& name = one->candidates[one->next_candidate++];
    one->unanswered = 2;
    for (const family asked : {family::v6, family::v4}) {
        one->dns->ask(name, asked == family::v6 ? dns_type::aaaa : dns_type::a,
                      [one, asked](std::error_code error, dns_records found) {
                          resolver* const owner = *one->alive;
                          if (owner == nullptr || !owner->lookups_.contains(one->id)) return;
                          owner->on_answer(one, asked, error, std::move(found.addresses));
                      });
    }
}

void resolver::on_answer(const std::shared_ptr<lookup>& one, family from, std::error_code error,
                         std::vector<asio::ip::address> found) {
    --one->unanswered;
    one->error = more_telling(one->error, error);
    const bool preferred = (from == family::v4) == options_.prefer_ipv4;
    one->held_back.insert(preferred ? one->held_back.begin() : one->held_back.end(), found.begin(),
                          found.end());
    if (one->unanswered == 0) {
        const bool out_of_time = one->error == resolve_errc::timed_out;
        const bool nothing_yet = one->held_back.empty() && !one->partly_answered;
        if (nothing_yet && !out_of_time && one->next_candidate < one->candidates.size()) {
            ask_next_candidate(one);
            return;
        }
        finish(one, one->error, one->held_back);
    } else if (!one->held_back.empty()) {
        one->delay.expires_after(resolution_delay);
        if (preferred) on_resolution_delay(one);
    }
}

void resolver::on_resolution_delay(const std::shared_ptr<lookup>& one) {
    one->delay.cancel();
    one->partly_answered = true;
    const auto addresses = std::exchange(one->held_back, {});
    // The handler may cancel, which destroys it: it must not be the one that is running.
    const std::shared_ptr<resolver*> alive = alive_;
    handler done = std::move(one->done);
    done({}, addresses, false);
    if (*alive != nullptr && lookups_.contains(one->id)) one->done = std::move(done);
}

void resolver::on_timeout(const std::shared_ptr<lookup>& one) {
    finish(one, resolve_errc::timed_out, one->held_back);
}

void resolver::finish(const std::shared_ptr<lookup>& one, std::error_code error,
                      std::span<const asio::ip::address> addresses) {
    lookups_.erase(one->id);
    if (one->partly_answered || !addresses.empty()) error = {};
    if (!one->candidates.empty()) {
        if (options_.on_dns_result) options_.on_dns_result(error);
        // The last candidate is the name itself.
        if (options_.remember_failures)
            failed_.add(one->candidates.back(), error, deadline::clock::now());
    }
    handler done = std::move(one->done);
    one->end();
    done(error, addresses, true);
}

} // namespace muxsocks
