// Links: how they join, what becomes of what they carried, and when they are doubted.

#include "protocol/session/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {
namespace {

constexpr duration patience_min = std::chrono::seconds(1);
/// A link may be silent for so long when the peer asks for a sign of life on another one.
constexpr duration patience_asked = std::chrono::milliseconds(250);
/// What an answer may take beyond a round trip and a quarter.
constexpr duration patience_more = std::chrono::milliseconds(10);
constexpr std::uint32_t full_retry_ms = 1'000;

bool is_stream_frame(bytes_view frame) { return load_u32(frame.data()) != 0; }

} // namespace

// ---- They begin

link_state& session::add_link(link_number number, link_state::phase at, instant now) {
    auto& added = links_.add(std::make_unique<link_state>(number, at, kept_memory_, settings_.kept,
                                                          agreed().keeps, settings_.keepalive));
    added.begun = now;
    added.alive.on_link(now);
    return added;
}

void session::on_link(bytes_view exporter, instant now) {
    now_ = now;
    auto& first = add_link(0, link_state::phase::up, now);
    ++statistics_.links;
    attached_.start(now);
    const auto begun = handshake_.begin(exporter, now);
    if (!begun.answer.empty()) queue_control(first, 0, begun.answer);
    wake();
}

link_number session::join(bytes_view exporter, instant now) {
    now_ = now;
    const bool again = broken(broken_rule::link_number_reused) && links_.was_given(2);
    join_frame frame;
    frame.id = id();
    frame.number = again ? 1 : links_.take_number();
    frame.proof = proofs_.join_proof(frame.number, exporter);
    auto& added = add_link(frame.number, link_state::phase::joining, now);
    added.exporter.assign(exporter.begin(), exporter.end());
    queue_control(added, 0, encode(frame));
    on_links_changed();
    return frame.number;
}

std::optional<join_fail_frame> session::on_join(const join_frame& frame, bytes_view exporter,
                                                instant now, bool room) {
    const bool joinable = established() && agreed().keeps && !client();
    const auto expected = proofs_.join_proof(frame.number, exporter);
    const bool proven = equal_in_constant_time(expected, frame.proof);
    if (!proven || !joinable || frame.version != 2 || frame.id != id())
        return join_fail_frame{join_failure::unknown_session, 0};
    if (links_.used.contains(frame.number)) return join_fail_frame{join_failure::number_used, 0};
    // The number stays unused: the client comes again, with the same one or another.
    if (!room) return join_fail_frame{join_failure::try_later, full_retry_ms};
    now_ = now;
    links_.used.use(frame.number);
    auto& added = add_link(frame.number, link_state::phase::up, now);
    queue_control(
        added, 0,
        encode(join_ok_frame{frame.number, proofs_.join_ok_proof(frame.number, exporter)}));
    joined_ = true;
    ++statistics_.links;
    attached_.start(now);
    if (links_.up_count() == 1) emit(event::kind::attached);
    on_links_changed();
    return {};
}

void session::make_room_for_joined() {
    if (!std::exchange(joined_, false)) return;
    // Chosen only now: the client gives links up directly behind JOIN.
    while (links_.size() > agreed().max_links) {
        const auto newest = (*std::prev(links_.end())).get();
        lose(*links_.most_silent(newest), errc::link_replaced, false);
    }
}

std::size_t session::on_join_answer(link_state& l, bytes_view bytes) {
    // Nothing but the answer is looked at, and what fails here ends this link alone: nobody has
    // proved anything.
    const auto whole = bytes.size();
    const auto number = l.number;
    while (bytes.size() >= frame_header_size) {
        const auto header = decode_header(bytes.data());
        if (header == frame_header{0, flag::rst, 0}) {
            lose(l, errc::link_lost, false);
            return whole;
        }
        const auto fault = check_header(header);
        if (fault || header.flags != flag::ctrl) {
            lose(l, fault ? fault : make_error_code(errc::control_out_of_order), false);
            return whole;
        }
        if (bytes.size() < frame_header_size + header.length) break;
        const auto payload = bytes.subspan(frame_header_size, header.length);
        bytes = bytes.subspan(frame_header_size + header.length);
        if (payload[0] >= control_ignorable_from) {
            if (l.leading.take(frame_header_size + payload.size())) continue;
            lose(l, errc::control_out_of_order, false);
            return whole;
        }
        const auto type = static_cast<control_type>(payload[0]);
        const auto failure =
            type == control_type::join_fail ? decode_join_fail(payload) : std::nullopt;
        if (header.stream_id == 0 && failure) {
            join_answer_ = *failure;
            emit(event::kind::join_failed, nullptr, {}, number);
            lose(l, {}, true);
            return whole - bytes.size();
        }
        if (header.stream_id != 0 || type != control_type::join_ok) {
            lose(l, errc::control_out_of_order, false);
            return whole;
        }
        on_join_ok(l, payload);
        if (!has_link(number)) return whole;
        return whole - bytes.size() + (bytes.empty() ? 0 : on_bytes(number, bytes, now_));
    }
    return whole - bytes.size();
}

void session::on_join_ok(link_state& l, bytes_view payload) {
    const auto answer = decode_join_ok(payload);
    const auto expected = proofs_.join_ok_proof(l.number, l.exporter);
    if (!answer || answer->number != l.number || !equal_in_constant_time(expected, answer->proof))
        return lose(l, errc::bad_join_answer, false);
    l.at = link_state::phase::up;
    l.exporter.clear();
    l.alive.on_link(now_);
    ++statistics_.links;
    attached_.start(now_);
    emit(event::kind::link_up, nullptr, {}, l.number);
    if (links_.up_count() == 1) emit(event::kind::attached);
    on_links_changed();
}

// ---- They end

void session::on_link_lost(link_number number, std::error_code why, instant now) {
    now_ = now;
    if (const auto l = links_.find(number)) lose(*l, why, false);
}

void session::lose(link_state& l, std::error_code why, bool told) {
    assert(turn_.link() != &l);
    const bool was_up = l.up();
    const auto number = l.number;
    const auto lost = links_.remove(l);
    if (state_ == state::closed) return;
    if (!handshake_.done()) return close(close_code::normal, why, why.message());
    if (why) emit(event::kind::link_down, nullptr, why, number);
    auto of_link = lost->kept.acked();
    const auto keep = [this, number, &of_link](const stretch& frame) {
        ++of_link;
        if (broken(broken_rule::lost_frames_forgotten) ||
            (broken(broken_rule::goaway_not_kept) &&
             load_u32(frame.chunk.data() + frame.begin) == 0))
            return on_acked(frame.bytes());
        ++statistics_.sent_again;
        again_.add(frame, {number, of_link});
    };
    lost->kept.give_up(keep, [this, &of_link](bytes_view frame) {
        ++of_link;
        on_acked(frame);
    });
    if (was_up) ++statistics_.links_lost;
    // The peer forgets what it can, and does not wait for a link that nobody hears.
    if (!told || lost->brought.frames() > 0) links_.must_drop({number, lost->brought.frames()});
    say_again(number);
    if (was_up && links_.up_count() == 0) {
        attached_.stop(now_);
        ++statistics_.detached;
        if (agreed().resumable || !links_.empty()) {
            emit(event::kind::detached, nullptr, why);
        }
    }
    if (links_.empty() && !agreed().resumable) return close(close_code::normal, why, why.message());
    on_links_changed();
}

void session::say_again(link_number lost) {
    if (broken(broken_rule::credit_not_said_again)) return;
    std::size_t open = 0;
    streams_.table.for_each([&](stream& s) {
        ++open;
        if (s.first_link == lost) s.first_link = stream::no_link;
        if (s.credit_link == lost && !s.ends_at_top) list_credit(s);
    });
    // The peer does likewise, which is no flood.
    if (now_ - credits_given_ < std::chrono::seconds(1)) return;
    credits_given_ = now_;
    flood_.credits.give(static_cast<double>(open));
}

void session::on_links_changed() {
    links_.choose();
    for (const auto& l : links_) {
        l->ready.clear();
        l->datagrams.clear();
    }
    streams_.table.for_each([](stream& s) {
        s.datagrams_listed = false;
        if (s.queued != stream::queue::fresh && s.queued != stream::queue::bulk_round) return;
        s.queued = stream::queue::none;
    });
    streams_.table.for_each([this](stream& s) {
        schedule(s);
        datagrams_.list(s);
    });
    unblock();
    wake();
}

void session::set_roles(const link_roles& roles) {
    if (links_.set_roles(roles)) on_links_changed();
}

stream_facts session::look_at_streams(std::uint32_t bulk_bytes, instant now) {
    std::vector<stream*> changed;
    const auto facts = bulk_.look(streams_.table, now, bulk_bytes, changed);
    for (const auto s : changed)
        move_home(*s);
    return facts;
}

void session::on_surge(stream& s) {
    // Where there is one link only, nobody looks.
    if (agreed().max_links <= 1) return;
    const bool was = s.bulk;
    bulk_.on_surge(s, now_);
    if (!was) move_home(s);
}

void session::move_home(stream& s) {
    if (s.queued != stream::queue::fresh && s.queued != stream::queue::bulk_round) return;
    unschedule(s);
    schedule(s);
}

std::vector<link_facts> session::facts() const {
    std::vector<link_facts> all;
    for (const auto& l : links_) {
        link_facts one;
        one.number = l->number;
        one.joining = !l->up();
        one.rtt = l->alive.rtt();
        one.sent_bytes_per_second = l->rate.rate();
        one.avoided = l->avoided;
        all.push_back(one);
    }
    return all;
}

void session::charge_links(std::size_t bytes_outside) {
    for (const auto& l : links_)
        bytes_outside += l->outbox.capacity() + l->copies.capacity();
    if (bytes_outside > links_charged_)
        account_.charge_anyway(bytes_outside - links_charged_);
    else if (bytes_outside < links_charged_)
        account_.discharge(links_charged_ - bytes_outside);
    links_charged_ = bytes_outside;
}

// ---- What the peer has processed

void session::on_ack(link_state& l, std::uint64_t frames) {
    const auto processed = [this](bytes_view frame) {
        if (is_stream_frame(frame)) ++statistics_.frames_acked;
        on_acked(frame);
    };
    if (!l.kept.on_ack(frames, processed)) return fail(errc::ack_beyond_sent);
    l.on_kept(now_);
    l.blocked = false;
}

void session::on_acked(bytes_view frame) {
    const auto id = load_u32(frame.data());
    if (id == 0) return;
    if (const auto s = streams_.table.find(id)) {
        if (s->unacked > 0 && --s->unacked == 0) on_all_acked(*s);
    } else if (ids_.on_frame_acked(id)) {
        wake();
    }
}

void session::on_all_acked(stream& s) {
    s.first_link = stream::no_link;
    if (s.rst_waits && s.own.empty()) list_reset(s);
    // The refused stream's peer has heard why: now it is to end it, in a time that only counts
    // while it can be heard.
    if (s.discarding && s.fin_sent && !s.rst_wanted && !s.clocked) {
        s.clocked = true;
        attached_.set(s.id, settings_.discard_timeout, now_);
        wake();
    }
}

void session::on_drop(link_state& by, bytes_view payload) {
    const auto drop = decode_drop(payload);
    if (!drop) return fail(errc::bad_control_frame);
    if (drop->number == by.number) return fail(errc::bad_drop);
    if (client() && !links_.was_given(drop->number)) return fail(errc::bad_drop);
    const auto frames = broken(broken_rule::drop_without_count) ? drop->frames + 1 : drop->frames;
    const auto processed = [this](bytes_view frame) {
        if (is_stream_frame(frame)) ++statistics_.frames_acked;
        on_acked(frame);
    };
    const auto l = links_.find(drop->number);
    if (!l) {
        if (!client()) links_.used.use(drop->number);
        // What has come by it need not go again.
        return again_.on_processed(drop->number, frames, processed);
    }
    ++statistics_.links_dropped_by_peer;
    if (!l->kept.on_ack(std::max(frames, l->kept.acked()), processed))
        return fail(errc::ack_beyond_sent);
    lose(*l, errc::link_given_up, true);
}

// ---- Doubt

duration session::patience(const link_state& l) const {
    return std::max<duration>(patience_min, 4 * l.alive.rtt());
}

void session::on_heard(link_state& l) {
    l.unanswered_since.reset();
    l.asked_at.reset();
    if (l.avoided) {
        l.avoided = false;
        on_links_changed();
    }
    for (const auto& each : links_) {
        if (!each->asked_at || each->avoided || each.get() == &l || now_ <= *each->asked_at)
            continue;
        // This one has answered since, and that one has not.
        each->others_answered = true;
        if (now_ >= each->avoid_from) avoid(*each);
    }
}

void session::doubt_links() {
    if (links_.up_count() < 2) return;
    for (const auto& l : links_) {
        if (l->up() && l->unanswered_since && !l->asked_at &&
            now_ >= *l->unanswered_since + patience(*l)) {
            ++statistics_.links_doubted;
            ask(*l, now_);
        }
        if (l->asked_at && l->others_answered && !l->avoided && now_ >= l->avoid_from) avoid(*l);
    }
}

void session::on_asked(const link_state& on) {
    // Whoever asks may miss an answer on a link that nothing has come by here either. So both find
    // out at once, and not one behind the other.
    for (const auto& l : links_) {
        const auto rtt = l->alive.rtt();
        const bool silent =
            now_ >= l->alive.last_heard() + std::max<duration>(patience_asked, 2 * rtt);
        if (l.get() != &on && l->up() && !l->asked_at && silent)
            ask(*l, now_ + rtt + rtt / 4 + patience_more);
    }
}

void session::ask(link_state& l, instant avoid_from) {
    l.asked_at = now_;
    l.avoid_from = avoid_from;
    l.others_answered = false;
    probe();
}

void session::avoid(link_state& l) {
    l.avoided = true;
    const auto copy = [this](const stretch& frame) {
        ++statistics_.sent_again;
        const auto id = load_u32(frame.chunk.data() + frame.begin);
        if (const auto s = streams_.table.find(id))
            ++s->unacked;
        else
            ids_.on_frame_copied(id);
        again_.add(frame);
    };
    l.kept.copy_once(copy);
    say_again(l.number);
    on_links_changed();
}

} // namespace muxsocks
