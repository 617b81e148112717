#include "server/name_lookups.hpp"

#include "protocol/link/link_thread.hpp"
#include "server/dial_error.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace muxsocks::server {

/// One look-up: waits for a place, then for the resolver, and is gone when that has ended.
struct name_lookups::operation final : shared_places::claim {
    operation(name_lookups& of, lookup_id called, std::string name, handler to)
        : owner(of.self_),
          on(of.thread_.context().get_executor()),
          id(called),
          host(std::move(name)),
          done(std::move(to)),
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
    std::string host;
    handler done; ///< Empty once nobody wants to know.
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
    const auto id = ++last_;
    auto& one =
        *operations_
             .emplace(id, std::make_unique<operation>(*this, id, std::move(host), std::move(done)))
             .first->second;
    one.limit.expires_after(timeout_);
    if (places_->names.take(one, user->name(), user->lookups_max())) begin(one);
    return id;
}

void name_lookups::begin(operation& one) {
    if (one.begun) return;
    one.begun = true;
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
    if (waited) end(id);
    if (told)
        told(waited ? make_error_code(dial_errc::waited_too_long)
                    : std::make_error_code(std::errc::timed_out),
             {}, true);
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
}

} // namespace muxsocks::server
