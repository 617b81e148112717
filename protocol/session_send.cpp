// What leaves: one turn is control frames, then streams by their turn, laid one behind the other.

#include "protocol/session.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace muxsocks {
namespace {

constexpr std::size_t credits_a_turn = 256; ///< 4 KiB of CREDIT.
constexpr std::size_t credit_frame_size = frame_header_size + 9;
constexpr std::size_t rst_frame_size = frame_header_size + 4;
constexpr duration resets_pause = std::chrono::milliseconds(35);
constexpr duration blocked_retry = std::chrono::milliseconds(50);
constexpr std::uint64_t rate_sample_bytes = 2 * 1024 * 1024;
constexpr std::uint64_t bulk_bytes = 1024 * 1024; ///< A sampling period above it counts as bulk.

} // namespace

bool session::may_open() const {
    return !opening_.empty() && streams_flow() && table_.size() < peer_max_streams_ &&
           accepts_opens();
}

bool session::counted_pending() const {
    return streams_flow() && (rst_pending() || may_open() || !scheduler_.empty());
}

bool session::wants_turn() const {
    if (!attached_) return false;
    if (!outbox_.empty()) return true;
    if (state_ == state::closed) return false;
    if (pongs_due_ > 0 || ack_due_ || keepalive_.ping_due() || replay_.replaying()) return true;
    return (!credits_.empty() && !awaiting_start_) || (counted_pending() && !blocked_);
}

bool session::sendable(const stream& s) const {
    if (s.closed || !s.opened() || s.rst_wanted) return false;
    if (!s.own.empty() || s.readable) return s.send.available() > 0;
    return s.fin_wanted && !s.fin_sent;
}

void session::schedule(stream& s) {
    if (s.queued == stream::queue::none && sendable(s)) scheduler_.add(s);
}

void session::list_credit(stream& s) {
    if (s.credit_listed) return;
    s.credit_listed = true;
    credits_.push_back(&s);
}

void session::queue_control(std::uint32_t stream_id, bytes_view payload) {
    const auto at = outbox_.size();
    outbox_.resize(at + frame_header_size);
    encode_header(outbox_.data() + at,
                  {stream_id, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    outbox_.insert(outbox_.end(), payload.begin(), payload.end());
}

void session::measure_rate() {
    const auto bytes = statistics_.bytes_sent - rate_bytes_;
    if (bytes < rate_sample_bytes) return;
    const auto seconds = std::chrono::duration<double>(now_ - rate_since_).count();
    scheduler_.on_rate(static_cast<std::uint64_t>(static_cast<double>(bytes) / (seconds + 1e-6)));
    rate_bytes_ = statistics_.bytes_sent;
    rate_since_ = now_;
}

void session::begin_turn(instant now, std::size_t size) {
    now_ = now;
    measure_rate();
    // Session-level frames that might fill an area get a turn of their own, so that frames are
    // never split where replay walks over them.
    const bool pending = state_ != state::closed && counted_pending() &&
                         outbox_.size() <= settings_.pool->chunk_size() / 8;
    area_ = replay_.open(pending, rst_pending());
    if (pending && !area_.counted) {
        if (replay_.grow(now, keepalive_.rtt())) area_ = replay_.open(pending, rst_pending());
        if (!area_.counted) wait_for_room();
    }
    area_.end = std::min(area_.end, area_.begin + std::max(size, outbox_.size()));
    at_ = area_.begin;
    turn_counted_ = 0;
    lay_outbox();
    if (!outbox_.empty() || state_ == state::closed) return;
    lay_control();
    if (!area_.counted || !streams_flow()) return;
    blocked_ = false;
    lay_resets();
    if (!area_.rst_only)
        lay_opening();
    else if (turn_counted_ == 0)
        wait_for_room();
}

void session::wait_for_room() {
    if (blocked_) return;
    ++statistics_.replay_full;
    blocked_ = true;
    blocked_retry_ = now_ + std::max(keepalive_.rtt(), blocked_retry);
}

void session::lay_outbox() {
    if (outbox_.empty()) return;
    std::size_t part = 0;
    while (part < outbox_.size()) {
        const auto size = frame_header_size + decode_header(outbox_.data() + part).length;
        if (part + size > room()) break;
        part += size;
    }
    std::memcpy(area_.chunk.data() + at_, outbox_.data(), part);
    outbox_.erase(outbox_.begin(), outbox_.begin() + static_cast<std::ptrdiff_t>(part));
    at_ += part;
}

void session::lay(const frame_header& header, bytes_view payload) {
    encode_header(area_.chunk.data() + at_, header);
    if (!payload.empty())
        std::memcpy(area_.chunk.data() + at_ + frame_header_size, payload.data(), payload.size());
    at_ += frame_header_size + payload.size();
}

void session::lay_counted(const frame_header& header, bytes_view payload) {
    lay(header, payload);
    ++turn_counted_;
}

void session::lay_control() {
    std::array<std::uint8_t, 9> payload{};
    const auto moved = statistics_.bytes_sent + statistics_.bytes_received;
    if (moved - sampled_bytes_ >= bulk_bytes && version_ >= 2) keepalive_.on_bulk(now_);
    for (; pongs_due_ > 0 && room() >= 4 * frame_header_size; --pongs_due_) {
        store_u64(payload.data(), pong_token_);
        lay({0, flag::pong, static_cast<std::uint16_t>(version_ >= 2 ? 8 : 0)},
            bytes_view(payload).first(version_ >= 2 ? 8 : 0));
    }
    if (keepalive_.ping_due()) {
        sampled_bytes_ = moved;
        store_u64(payload.data(), keepalive_.on_ping_sent(now_));
        lay({0, flag::ping, static_cast<std::uint16_t>(version_ >= 2 ? 8 : 0)},
            bytes_view(payload).first(version_ >= 2 ? 8 : 0));
    }
    if (resumable_ && recv_frames_ > acked_to_peer_ && state_ == state::established &&
        !awaiting_start_) {
        payload[0] = static_cast<std::uint8_t>(control_type::ack);
        store_u64(payload.data() + 1, recv_frames_);
        lay({0, flag::ctrl, 9}, payload);
        acked_to_peer_ = recv_frames_;
        bytes_since_ack_ = 0;
    }
    ack_due_ = false;
    ack_deadline_.reset();
    // A grant must not overtake the SYN of its stream, which may be among what is replayed.
    if (!replay_.replaying() && version_ >= 2 && !awaiting_start_) lay_credits();
}

void session::lay_credits() {
    std::array<std::uint8_t, 9> payload{static_cast<std::uint8_t>(control_type::credit)};
    std::size_t laid = 0;
    while (!credits_.empty() && laid < credits_a_turn && room() >= 2 * credit_frame_size) {
        auto& s = *credits_.back();
        credits_.pop_back();
        s.credit_listed = false;
        if (s.closed || s.rst_wanted || s.fin_received) continue;
        store_u64(payload.data() + 1, s.recv.announce());
        lay({s.id, flag::ctrl, 9}, payload);
        ++laid;
    }
}

void session::lay_resets() {
    while (!refusals_.empty() && room() >= rst_frame_size) {
        lay_rst(refusals_.front(), reset_code::refused);
        refusals_.pop_front();
    }
    lay_resets_of(resets_, false);
    if (now_ >= resets_paced_until_) lay_resets_of(paced_resets_, true);
}

void session::lay_resets_of(ready_list& list, bool paced) {
    const stream* first_passed = nullptr;
    while (!list.empty() && room() >= rst_frame_size) {
        auto& s = *list.front();
        // Own bytes (a SOCKS reply) still go out, as far as there is credit.
        if (!s.own.empty() && s.send.available() > 0) {
            if (!area_.rst_only) {
                if (room() < min_read()) break;
                lay_own(s);
                continue;
            }
            // They wait for room for DATA; the RSTs of others need not.
            if (&s == first_passed) break;
            if (!first_passed) first_passed = &s;
            list.push(list.pop());
            continue;
        }
        // A client keeps below the rate at which the server would end the session.
        if (paced && !flood_.resets.take(now_)) {
            resets_paced_until_ = now_ + resets_pause;
            break;
        }
        list.pop();
        s.queued = stream::queue::none;
        lay_rst(s.id, s.rst_code);
        close_stream(s);
        drop_if_released(s);
    }
}

void session::lay_rst(std::uint32_t stream_id, reset_code why) {
    std::array<std::uint8_t, 4> code{};
    const auto size = version_ >= 2 ? code.size() : 0;
    store_u32(code.data(), static_cast<std::uint32_t>(why));
    ++statistics_.resets_sent;
    lay_counted({stream_id, flag::rst, static_cast<std::uint16_t>(size)},
                bytes_view(code).first(size));
}

void session::lay_opening() {
    while (may_open()) {
        auto& s = *opening_.front();
        // SYN and the request leave together.
        if (room() < 2 * frame_header_size + std::min(s.own.size(), min_read())) break;
        opening_.pop();
        --opening_count_;
        s.queued = stream::queue::none;
        s.id = next_id_;
        next_id_ += 2;
        s.send = send_window(version_ >= 2 ? peer_window_ : credit_limit_max);
        table_.insert(s);
        lay_counted({s.id, flag::syn, 0}, {});
        if (!s.own.empty() && s.send.available() > 0) lay_own(s);
        schedule(s);
        if (!accepts_opens()) {
            emit(event::kind::goaway, nullptr, errc::ids_exhausted);
            while (!opening_.empty())
                end_stream(*opening_.front(), errc::ids_exhausted);
        }
    }
}

void session::lay_own(stream& s) {
    const auto part = std::min({s.own.size(), static_cast<std::size_t>(s.send.available()),
                                settings_.frame_payload, room() - frame_header_size});
    const bool last = part == s.own.size();
    const bool fin = last && s.fin_wanted && !s.readable;
    const auto flags = static_cast<std::uint8_t>(fin ? flag::data | flag::fin : flag::data);
    lay_counted({s.id, flags, static_cast<std::uint16_t>(part)}, bytes_view(s.own).first(part));
    s.send.on_sent(part);
    scheduler_.on_sent(s, part);
    statistics_.bytes_sent += part;
    if (last)
        std::vector<std::uint8_t>().swap(s.own);
    else
        s.own.erase(s.own.begin(), s.own.begin() + static_cast<std::ptrdiff_t>(part));
    if (fin) on_fin_sent(s);
}

void session::on_fin_sent(stream& s) {
    s.fin_sent = true;
    s.readable = false;
    close_if_done(s);
}

std::optional<read_slot> session::next_read() {
    if (!area_.counted || area_.rst_only || !streams_flow() || state_ == state::closed ||
        !outbox_.empty())
        return {};
    while (!scheduler_.empty() && room() >= frame_header_size + min_read()) {
        auto& s = scheduler_.next();
        read_slot slot;
        if (serve(s, slot)) return slot;
    }
    return {};
}

bool session::serve(stream& s, read_slot& slot) {
    if (!s.own.empty() && s.send.available() > 0) {
        lay_own(s);
        schedule(s);
        return false;
    }
    if (s.readable && s.send.available() > 0) {
        slot = make_slot(s);
        return true;
    }
    if (s.fin_wanted && !s.fin_sent && s.own.empty()) {
        lay_counted({s.id, flag::fin, 0}, {});
        on_fin_sent(s);
    }
    return false;
}

read_slot session::make_slot(stream& s) {
    read_slot slot;
    slot.subject = &s;
    auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(scheduler_.quantum(), s.send.available()));
    auto at = at_;
    while (wanted > 0 && slot.count < read_slot::places_max && at + frame_header_size < area_.end) {
        const auto size =
            std::min({wanted, settings_.frame_payload, area_.end - at - frame_header_size});
        slot.places[slot.count++] = {area_.chunk.data() + at + frame_header_size, size};
        slot.size += size;
        wanted -= size;
        at += frame_header_size + size;
    }
    return slot;
}

void session::on_read(const read_slot& slot, std::size_t bytes, read_outcome outcome) {
    auto& s = *slot.subject;
    assert(bytes <= slot.size);
    auto rest = bytes;
    const bool end = outcome == read_outcome::end;
    for (std::size_t i = 0; rest > 0; ++i) {
        const auto part = std::min(rest, slot.places[i].size());
        rest -= part;
        const bool fin = end && rest == 0;
        encode_header(area_.chunk.data() + at_,
                      {s.id, static_cast<std::uint8_t>(fin ? flag::data | flag::fin : flag::data),
                       static_cast<std::uint16_t>(part)});
        at_ += frame_header_size + part;
        ++turn_counted_;
    }
    s.send.on_sent(bytes);
    scheduler_.on_sent(s, bytes);
    statistics_.bytes_sent += bytes;
    if (end) {
        s.fin_wanted = true;
        if (bytes == 0) lay_counted({s.id, flag::fin, 0}, {});
        return on_fin_sent(s);
    }
    if (outcome == read_outcome::drained) s.readable = false;
    if (s.readable && s.send.available() == 0) ++statistics_.windows_dry;
    schedule(s);
}

bytes_view session::end_turn(chunk_ref& keep) {
    bytes_view turn{area_.chunk.data() + area_.begin, at_ - area_.begin};
    replay_.close(area_, at_, turn_counted_);
    if (state_ == state::closed) replay_.clear(); // Closed while the turn was laid.
    if (turn_counted_ > 0 && resumable_ && !unacked_since_) unacked_since_ = now_;
    keep = area_.chunk;
    if (turn.empty() && replay_.replaying() && state_ != state::closed && outbox_.empty())
        turn = replay_.next_replay(settings_.pool->chunk_size(), keep);
    area_ = {};
    reap();
    return turn;
}

} // namespace muxsocks
