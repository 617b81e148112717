#include "server/name_lookups.hpp"

#include "protocol/link/link_thread.hpp"
#include "server/dial_error.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace muxsocks::server {

/// One look-up: waits for a place, then for the resolver, and is gone when that has ended.
struct name_lookups::operation final : shared_places::claim {
    operation(name_lookups& of, lookup_id called)
        : owner(of.self_),
          on(of.thread_.context().get_executor()),
          id(called),
          limit(of.thread_.clock(), [&of, called] { of.on_time(called); }) {}

    /// Under the lock of the places, and in any thread.
    void on_place() override {
        asio::post(on, [guard = std::weak_ptr<name_lookups*>(owner), id = id] {
            const auto alive = guard.lock();
            if (!alive) return;
            const auto found = (*alive)->operations_.find(id);
            if (found != (*alive)->operations_.end()) (*alive)->begin(*found->second);
        });
    }

    std::weak_ptr<name_lookups*> owner;
    executor on;
    lookup_id id;
    // The one or the other; the handler is empty once nobody wants to know.
    std::string host{};
    handler done{};
    asio::ip::address address{};
    name_handler named{};
    deadline limit;
    resolver::lookup_id asked = 0;
    bool begun = false;
    bool cancelled = false;
};

name_lookups::name_lookups(link_thread& thread, resolver& names,
                           std::shared_ptr<dial_places> places, std::chrono::milliseconds timeout)
    : thread_(thread), names_(names), places_(std::move(places)), timeout_(timeout) {}

name_lookups::~name_lookups() {
    self_.reset();
    for (const auto& [id, one] : operations_) {
        places_->names.leave(*one);
        if (one->begun) names_.cancel(one->asked);
    }
}

name_lookups::lookup_id name_lookups::look_up(std::string host, const user_account_ptr& user,
                                              handler done) {
    auto made = std::make_unique<operation>(*this, ++last_);
    made->host = std::move(host);
    made->done = std::move(done);
    return enter(std::move(made), user);
}

name_lookups::lookup_id name_lookups::look_up_name(const asio::ip::address& address,
                                                   const user_account_ptr& user,
                                                   name_handler done) {
    auto made = std::make_unique<operation>(*this, ++last_);
    made->address = address;
    made->named = std::move(done);
    return enter(std::move(made), user);
}

name_lookups::lookup_id name_lookups::enter(std::unique_ptr<operation> made,
                                            const user_account_ptr& user) {
    const auto id = made->id;
    auto& one = *operations_.emplace(id, std::move(made)).first->second;
    one.limit.expires_after(timeout_);
    if (places_->names.take(one, user->name(), user->lookups_max())) begin(one);
    return id;
}

void name_lookups::begin(operation& one) {
    if (one.begun) return;
    one.begun = true;
    if (one.named) {
        one.asked = names_.resolve_name(
            one.address, [this, id = one.id](std::error_code error, const std::string& name) {
                const auto found = operations_.find(id);
                if (found == operations_.end()) return;
                auto told = std::move(found->second->named);
                end(id);
                if (told) told(error, name);
            });
        return;
    }
    one.asked = names_.resolve(
        one.host, [this, id = one.id](std::error_code error,
                                      std::span<const asio::ip::address> addresses, bool last) {
            const auto found = operations_.find(id);
            if (found == operations_.end()) return;
            // It may cancel this look-up in its own call.
            auto told = std::move(found->second->done);
            if (last) end(id);
            if (!told) return;
            told(error, addresses, last);
            const auto still = operations_.find(id);
            if (still != operations_.end() && !still->second->cancelled)
                still->second->done = std::move(told);
        });
}

void name_lookups::on_time(lookup_id id) {
    // It has waited for a place, or the resolver takes longer than dials may.
    const auto found = operations_.find(id);
    if (found == operations_.end()) return;
    const bool waited = !found->second->begun;
    auto told = std::exchange(found->second->done, nullptr);
    auto named = std::exchange(found->second->named, nullptr);
    if (waited) end(id);
    const auto error = waited ? make_error_code(dial_errc::waited_too_long)
                              : std::make_error_code(std::errc::timed_out);
    if (told) told(error, {}, true);
    if (named) named(error, {});
}

void name_lookups::end(lookup_id id) {
    const auto found = operations_.find(id);
    places_->names.leave(*found->second);
    operations_.erase(found);
}

void name_lookups::cancel(lookup_id id) {
    const auto found = operations_.find(id);
    if (found == operations_.end()) return;
    if (!found->second->begun) return end(id);
    found->second->cancelled = true;
    found->second->done.reset();
    found->second->named.reset();
}

} // namespace muxsocks::server
