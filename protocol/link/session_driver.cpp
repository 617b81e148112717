#include "protocol/link/session_driver.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <utility>

namespace muxsocks {
namespace {

/// What one stream alone may send at a time on a fast link.
constexpr std::size_t batch_bytes_alone = 512 * 1024;
/// A message of up to this size, with nothing behind it, is someone's who waits for an answer.
constexpr std::size_t small_message_bytes = 4096;
/// The least silence of a peer for which TCP is asked what it knows.
constexpr std::chrono::milliseconds path_silence{50};

std::uint64_t next_serial() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

stream_owner* owner_of(const stream& s) { return static_cast<stream_owner*>(s.context); }

} // namespace

session_driver::session_driver(link_thread& thread, session_settings settings, delegate& to)
    : thread_(thread),
      serial_(next_serial()),
      share_(thread.make_share()),
      delegate_(&to),
      binds_(settings.channel_binding),
      links_max_(settings.side == role::client ? settings.max_links - 1U : 0),
      session_(with_wake(std::move(settings)), now()),
      deadline_(thread.clock(), [this] { on_deadline(); }),
      last_words_(thread.clock(), [this] { on_session_closed(session_.error()); }),
      look_(thread.clock(), [this] { steer(); }) {
    thread_.enlist(*this);
    ++thread_.counters().sessions_begun;
}

session_driver::~session_driver() {
    tell_counted();
    tell_held(0);
    for (const auto& each : links_)
        each.on->abort();
}

session_settings session_driver::with_wake(session_settings settings) {
    settings.wake = [this] { wake(); };
    return settings;
}

session_totals session_driver::tell_counted() {
    const session_totals now(session_.statistics());
    auto since = now;
    since -= std::exchange(told_, now);
    thread_.counters().sessions += since;
    return since;
}

bool session_driver::all_delivered() const {
    if (!session_.may_end() && !session_.closed()) return false;
    for (const auto& each : links_)
        if (each.on->output_size() > 0) return false;
    return true;
}

// ---- A hand-over

session_state session_driver::save(std::vector<int>& sockets) {
    return session_.save(now(), [&sockets](stream& s, stream_state& to) {
        if (const auto served_by = owner_of(s)) served_by->save(to.owner, sockets);
    });
}

std::vector<stream*> session_driver::restore(const session_state& from) {
    auto streams = session_.restore(from, now());
    begin_steering();
    return streams;
}

void session_driver::on_handed_over() {
    const driver_ptr self(this);
    forget_delegate();
    deadline_.cancel();
    session_.for_each_stream([](stream& s) {
        if (const auto served_by = owner_of(s)) served_by->on_handed_over();
        s.context = nullptr;
    });
    for (const auto& each : std::exchange(links_, {}))
        each.on->abort();
    joining_ = none;
}

// ---- Streams

void session_driver::on_timeouts_changed() {
    session_.for_each_stream([](stream& s) {
        if (s.context && !s.released) owner_of(s)->on_timeouts_changed();
    });
}

stream& session_driver::open(bytes_view request, stream_owner& served_by) {
    return session_.open(request, &served_by);
}

void session_driver::consume(stream& s, std::size_t bytes) {
    session_.consume(s, bytes, now());
    if (session_.reading_paused()) return;
    for (const auto& each : links_)
        if (!each.on->reading() && !frames_left(each)) each.on->set_reading(true);
}

stalled_memory session_driver::most_stalled() const {
    const auto bytes = session_.most_stalled(now());
    return bytes == 0 ? stalled_memory() : stalled_memory{session_.owner_holds(), bytes};
}

void session_driver::shed_most_stalled() {
    const driver_ptr self(this);
    session_.shed_most_stalled(now());
    settle();
}

// ---- Turns

void session_driver::wake() {
    // What happens within an event or a turn is seen to behind it.
    if (turn_posted_ || dispatching_) return;
    turn_posted_ = true;
    asio::post(thread_.context(), [self = driver_ptr(this)] {
        self->share_->run([self] {
            self->turn_posted_ = false;
            self->turn();
        });
    });
}

void session_driver::turn() {
    const driver_ptr self(this);
    if (!last_words_.is_set()) {
        // A turn may end links; one that is passed over for that has its turn by settle().
        for (std::size_t i = 0; i < links_.size(); ++i)
            turn(links_[i].number, *links_[i].on);
    }
    settle();
}

void session_driver::turn(link_number number, link& on) {
    if (on.output_stuck()) return;
    const link_ptr self(&on);
    const auto at = begin_reads();
    // What does not fit into a batch waits for the next round of the event loop.
    while (session_.wants_turn(number) && find(number) && may_read() &&
           on.output_size() <
               (session_.may_batch_more(number) ? batch_bytes_alone : on.batch_bytes()))
        lay_turn(number, on, at);
    if (!find(number)) return;
    on.flush();
    if (find(number) && !on.output_stuck() && !session_.wants_turn(number)) on.on_idle();
}

void session_driver::lay_turn(link_number number, link& on, instant at) {
    session_.begin_turn(number, at, on.batch_bytes());
    while (const auto slot = session_.datagrams_lane().next()) {
        const auto result = owner_of(*slot->subject)->read_datagram(slot->place);
        session_.datagrams_lane().on_read(*slot, result.bytes, result.more);
        if (!result.more && result.bytes <= small_message_bytes) on_small_message();
    }
    stream* failed = nullptr;
    while (may_read()) {
        const auto slot = session_.next_read();
        if (!slot) break;
        ++reads_;
        auto& s = *slot->subject;
        const auto served_by = owner_of(s);
        const auto result = served_by->read_for_turn(*slot);
        session_.on_read(*slot, result.bytes, result.outcome);
        if (result.outcome == read_outcome::drained && result.bytes <= small_message_bytes &&
            session_.stream_count() > 1)
            on_small_message();
        if (result.failed) {
            failed = &s;
            break;
        }
        if (s.readable && !s.closed && s.send.available() == 0) served_by->on_parked();
    }
    chunk_ref keep;
    const auto bytes = session_.end_turn(keep);
    // In front of send(), which may end the link, and with it the stream.
    if (failed && !failed->released) owner_of(*failed)->on_read_failed();
    if (!bytes.empty()) on.send(bytes);
}

/// All links share the path, and with it the queue that a small message would wait in.
void session_driver::on_small_message() {
    for (const auto& each : links_)
        each.on->on_small_message();
}

void session_driver::settle() {
    if (dispatching_) return;
    const driver_ptr self(this);
    dispatching_ = true;
    dispatch();
    dispatching_ = false;
    session_.end_batch();
    dispatching_ = true;
    dispatch(); // What end_batch had to shed.
    dispatching_ = false;
    bool wanted = false;
    for (const auto& each : links_) {
        const bool left = frames_left(each);
        const bool reads = !session_.reading_paused() && !left;
        if (each.on->reading() != reads) each.on->set_reading(reads);
        if (left) take_frames_left();
        wanted |= !each.on->output_stuck() && session_.wants_turn(each.number);
    }
    if (session_.attached()) down_text_.clear();
    if (wanted && !last_words_.is_set()) wake();
    session_.charge_links(held_by_links());
    tell_held(session_.memory_held() - session_.held_outside());
    update_deadline();
    if (steering_ && !look_soon_ && worth_a_look()) steer_soon();
}

void session_driver::tell_held(std::size_t held) {
    const auto before = std::exchange(held_seen_, held);
    if (held == before) return;
    thread_.on_held(static_cast<std::ptrdiff_t>(held) - static_cast<std::ptrdiff_t>(before));
}

void session_driver::dispatch() {
    while (const auto e = session_.next_event()) {
        // What ends an owner is behind what was to be sent by it.
        if (e->type != event::kind::datagram) end_datagrams();
        on_event(*e);
    }
    end_datagrams();
}

void session_driver::end_datagrams() {
    for (const auto each : with_datagrams_)
        each->on_datagrams_over();
    with_datagrams_.clear();
}

void session_driver::on_event(const event& what) {
    switch (what.type) {
    case event::kind::readable:
        if (const auto served_by = owner_of(*what.subject)) served_by->on_stream_readable();
        break;
    case event::kind::reset:
        if (const auto served_by = owner_of(*what.subject)) served_by->on_stream_reset(what.error);
        break;
    case event::kind::opened:
        if (delegate_)
            delegate_->on_opened(*this, *what.subject);
        else
            session_.release(*what.subject);
        break;
    case event::kind::datagram:
        if (const auto served_by = owner_of(*what.subject);
            served_by && served_by->on_datagram(session_.datagrams_lane().received(what)))
            with_datagrams_.push_back(served_by);
        break;
    case event::kind::established:
        begin_steering();
        if (delegate_) delegate_->on_established(*this);
        break;
    case event::kind::goaway:
        if (delegate_) delegate_->on_goaway(*this);
        break;
    case event::kind::notice:
        if (const auto told = session_.take_notice(); delegate_)
            delegate_->on_notice(*this, what.subject, told);
        break;
    case event::kind::link_up:
        if (joining_ == what.link) joining_ = none;
        if (delegate_) delegate_->on_joined(*this, what.link);
        if (steering_) steer();
        break;
    case event::kind::join_failed:
    case event::kind::link_down:
        on_link_over(what);
        break;
    case event::kind::attached:
        if (detached_at_ != instant{})
            thread_.counters().gaps.add(now() - std::exchange(detached_at_, instant{}));
        if (delegate_) delegate_->on_attached(*this);
        break;
    case event::kind::detached:
        detached_at_ = now();
        session_.for_each_stream([](stream& s) {
            if (const auto served_by = owner_of(s)) served_by->on_parked();
        });
        if (delegate_)
            delegate_->on_detached(*this, what.error,
                                   down_text_.empty() ? what.error.message() : down_text_);
        down_text_.clear();
        break;
    case event::kind::closed: {
        if (links_.empty()) ++thread_.counters().sessions_lost;
        const auto delay = delegate_ ? delegate_->answer_delay(*this, what.error) : duration{};
        if (!links_.empty() && delay > duration{})
            last_words_.expires_after(delay);
        else
            on_session_closed(what.error);
        break;
    }
    }
}

void session_driver::on_link_over(const event& what) {
    const bool joining = what.link == joining_;
    const auto over = take_out(what.link);
    if (!over) return;
    if (what.type == event::kind::join_failed) {
        if (delegate_) delegate_->on_join_failed(*this, session_.join_answer(), over);
        if (over->belongs_to(*this)) over->close();
        return;
    }
    over->abort(what.error);
    if (joining) {
        if (delegate_) delegate_->on_join_lost(*this, what.error, what.error.message());
    } else {
        down_text_ = what.error.message();
        tell_gone(what.link, what.error, down_text_);
    }
}

void session_driver::on_session_closed(std::error_code why) {
    const driver_ptr self(this);
    const auto links = std::exchange(links_, {});
    for (const auto& each : links) {
        // CLOSE or AUTH_FAIL is still in the session.
        while (session_.wants_turn(each.number))
            lay_turn(each.number, *each.on, begin_reads());
        each.on->close();
    }
    joining_ = none;
    const auto to = std::exchange(delegate_, nullptr);
    const auto text = down_text_.empty() ? why.message() : down_text_;
    if (to) to->on_closed(*this, why, text);
}

// ---- Time

void session_driver::update_deadline() {
    const auto wanted = session_.deadline();
    // A timer that is early only costs a look; moving it at each frame would cost much more.
    if (!wanted || (deadline_.is_set() && deadline_.expiry() <= *wanted)) return;
    deadline_.expires_at(std::max(*wanted, now() + std::chrono::milliseconds(1)));
}

void session_driver::on_deadline() {
    const driver_ptr self(this);
    const auto at = now();
    for (auto& each : links_)
        look_at_path(each, at);
    session_.on_deadline(at);
    settle();
}

void session_driver::look_at_path(driven& one, instant now) {
    // Data has its own deadlines by the dozen; only silence is worth a system call.
    if (now - session_.last_heard(one.number) < path_silence) return;
    const auto path = one.on->path();
    // An acknowledgement that acknowledges nothing new, of a window that stays shut for example,
    // is no progress. One that does is.
    const bool arrived = std::exchange(one.acked_bytes, path.acked_bytes) != path.acked_bytes;
    // So is a packet behind one that was lost.
    const bool behind_gap = std::exchange(one.out_of_order, path.out_of_order) != path.out_of_order;
    const auto received = path.received_bytes > 0 ? now - path.since_received : instant{};
    session_.on_path(one.number, behind_gap ? now : received,
                     arrived ? now - path.since_ack : instant{});
}

// ---- Ends

void session_driver::close(close_code code, std::error_code why, std::string_view text) {
    session_.close(code, why, text);
    settle();
}

void session_driver::go_away(close_code code, duration drain, std::string_view text,
                             bool takes_late) {
    session_.go_away(code, drain, text, takes_late);
    settle();
}

void session_driver::hurry_last_words() {
    if (!last_words_.is_set()) return;
    last_words_.cancel();
    on_session_closed(session_.error());
}

void session_driver::end_streams(reset_code code) {
    const driver_ptr self(this);
    session_.end_streams(code);
    settle();
}

void session_driver::probe() {
    session_.probe();
    settle();
}

} // namespace muxsocks
