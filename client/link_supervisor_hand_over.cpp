// How a supervisor's session goes to another process, and comes from one.

#include "client/link_supervisor.hpp"
#include "client/movable.hpp"
#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"

#include <algorithm>

namespace muxsocks::client {

std::vector<std::uint8_t> encode(handed_session owner) {
    auto form = handed_session::form;
    field_saver fields;
    fields(form, owner.server, owner.age_s);
    return std::move(fields.bytes());
}

std::optional<handed_session> decode_handed_session(bytes_view bytes) {
    std::uint8_t form = 0;
    handed_session owner;
    field_loader fields(bytes);
    fields(form, owner.server, owner.age_s);
    if (!fields.done() || form != handed_session::form) return {};
    return owner;
}

session_state link_supervisor::save(std::vector<int>& sockets) {
    auto state = driver_->save(sockets);
    const auto age = std::chrono::steady_clock::now() - since_;
    state.owner = encode({name_, static_cast<std::uint32_t>(age / std::chrono::seconds(1))});
    return state;
}

void link_supervisor::on_handed_over() {
    retire();
    abandon_dial();
    abandon_extra();
    policy_.stop_dialling();
    policy_.on_session_over();
    clock_.cancel();
    if (const auto driver = std::exchange(driver_, nullptr)) driver->on_handed_over();
}

void link_supervisor::take_over(const session_state& from, const handed_session& about,
                                descriptor_list sockets, const resume_owner& resume) {
    since_ = std::chrono::steady_clock::now() - std::chrono::seconds(about.age_s);
    spoke_v2_ = true;
    const auto settings = make_session_settings(recipe_->settings, thread_, false, true);
    driver_ = new session_driver(thread_, settings_for(settings, from), *this);
    const driver_ptr keep = driver_;
    const auto streams = keep->restore(from);
    for (std::size_t i = 0; i < streams.size(); ++i) {
        if (!from.streams[i].owned) continue;
        const auto& state = from.streams[i].owner;
        descriptor_list own;
        for (std::size_t left = sockets_of(state); left > 0; --left)
            own.add(sockets.take());
        if (own.size() > 0 && resume(keep, *streams[i], state, own)) continue;
        reset_when_running(thread_.context(), std::move(own));
        keep->core().release(*streams[i]);
    }
    reset_when_running(thread_.context(), std::move(sockets));
    keep->resume();
    policy_.set_resumable(true);
    policy_.set_session_limit(session_limit());
    policy_.on_taken_over(std::chrono::steady_clock::now());
    log::info("session with {} goes on here, {} streams with it", name_, load());
}

} // namespace muxsocks::client
