// Of worker: what it shows of itself and its sessions.

#include "server/worker.hpp"

#include "protocol/program/session_snapshot.hpp"
#include "server/incoming_link.hpp"
#include "server/served_session.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace muxsocks::server {
namespace {

/// For so long sessions are looked at, and then others have their turn.
constexpr std::chrono::microseconds longest_look{250};
constexpr std::size_t sessions_between_looks_at_the_clock = 16;

} // namespace

/// One look at all sessions, on its way.
struct worker::survey {
    survey(const snapshot_request& request, std::function<void(snapshot)> then)
        : sessions(request.sessions),
          streams(request.streams),
          with_streams(request.streams > 0),
          answer(std::move(then)) {}

    snapshot part;
    heaviest<session_snapshot> sessions;
    heaviest<stream_snapshot> streams;
    bool with_streams;
    std::function<void(snapshot)> answer;
    served_session* last = nullptr; ///< It may be gone: its place counts.
};

void worker::show(const snapshot_request& request, std::function<void(snapshot)> answer) {
    look_on(std::make_shared<survey>(request, std::move(answer)));
}

void worker::look_on(const std::shared_ptr<survey>& at) {
    const auto until = std::chrono::steady_clock::now() + longest_look;
    std::size_t seen = 0;
    for (auto next = sessions_.upper_bound(at->last); next != sessions_.end(); ++next) {
        look_at(*next->second, *at);
        at->last = next->first;
        if (++seen % sessions_between_looks_at_the_clock == 0 &&
            std::chrono::steady_clock::now() >= until)
            return asio::post(context(), [this, at] { look_on(at); });
    }
    finish(*at);
}

void worker::look_at(served_session& one, survey& with) {
    const auto& core = one.driver().core();
    muxsocks::add(one.driver(), with.part.all);
    count_use(one);
    if (core.established()) {
        auto& user = with.part.users[core.user()];
        ++user.sessions;
        user.streams += core.stream_count();
    }
    if (with.with_streams && core.stream_count() > 0)
        show_streams(one.driver(), one.unescaped_name(), with.streams);
    const auto weight = weight_of(core.stream_count(), core.attached());
    if (!with.sessions.wants(weight)) return;
    auto shown = muxsocks::show(one.driver(), program_role::server, one.unescaped_name());
    shown.user = core.user();
    with.sessions.add(weight, std::move(shown));
}

/// What the session has moved since it was looked at last. Nobody else counts than who may come
/// in, or names could be made up.
void worker::count_use(served_session& one) {
    const auto since = one.driver().tell_counted();
    const auto& user = one.driver().core().user();
    if (since.bytes_sent + since.bytes_received == 0 ||
        !(user.empty() || recipe_->users.contains(user)))
        return;
    auto& used = used_[user];
    used.bytes_up += since.bytes_received;
    used.bytes_down += since.bytes_sent;
}

void worker::finish(survey& with) {
    auto& part = with.part;
    // Behind all sessions, which have told by now.
    part.counted = thread_.counted();
    part.unauthenticated = incoming_.size();
    for (const auto& [name, used] : used_)
        part.users[name] += used;
    for (const auto& [name, user] : recipe_->users)
        part.users.try_emplace(name);
    part.sessions = with.sessions.take();
    part.streams = with.streams.take();
    with.answer(std::move(part));
}

} // namespace muxsocks::server
