#include "tests/tools/relay/delay_line.hpp"

#include <algorithm>

namespace muxsocks::tools {
namespace {

/// Bytes that come due within this time of each other leave together: fewer, larger writes.
constexpr duration together = std::chrono::microseconds(250);

/// At a bottleneck, a large read is spread over its own time in pieces of this size.
constexpr std::uint64_t piece_bytes = 16 * 1024;

duration time_at_rate(std::uint64_t bytes, std::uint64_t rate) {
    return std::chrono::duration_cast<duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate)));
}

std::uint64_t bytes_in(duration time, std::uint64_t rate) {
    const double seconds = std::chrono::duration<double>(time).count();
    return static_cast<std::uint64_t>(seconds * static_cast<double>(rate));
}

} // namespace

block_pool::block block_pool::take() {
    if (free_.empty()) return block(new std::byte[block_bytes]);
    block last = std::move(free_.back());
    free_.pop_back();
    return last;
}

void block_pool::give_back(block empty) { free_.push_back(std::move(empty)); }

std::uint64_t wire_settings::capacity_bytes() const {
    // A quarter on top: what is due leaves in steps, and must not hold up what comes in.
    return rate == 0 ? queue_bytes : queue_bytes + bytes_in(delay * 5 / 4, rate) + 256 * 1024;
}

delay_line::~delay_line() { clear(); }

std::size_t delay_line::room(const wire_settings& wire, time_point now) const {
    const std::uint64_t capacity = wire.capacity_bytes();
    if (held_bytes() >= capacity) return 0;
    std::uint64_t room = capacity - held_bytes();
    if (wire.rate != 0) {
        const std::uint64_t queued = departs_ > now ? bytes_in(departs_ - now, wire.rate) : 0;
        room = std::min(room, wire.queue_bytes > queued ? wire.queue_bytes - queued : 0);
    }
    return static_cast<std::size_t>(room);
}

std::optional<time_point> delay_line::room_at(const wire_settings& wire, std::size_t bytes,
                                              time_point now) const {
    if (held_bytes() + bytes > wire.capacity_bytes()) return std::nullopt;
    if (room(wire, now) >= bytes) return now;
    return departs_ - time_at_rate(wire.queue_bytes - bytes, wire.rate) +
           std::chrono::microseconds(1);
}

std::array<iovec, 2> delay_line::prepare(std::size_t bytes) {
    std::array<iovec, 2> areas{};
    for (iovec& area : areas) {
        if (bytes == 0) break;
        if (&area != areas.data() || tail_ == blocks_.size() * block_pool::block_bytes) {
            blocks_.push_back(pool_.take());
            area.iov_base = blocks_.back().get();
            area.iov_len = block_pool::block_bytes;
        } else {
            const std::size_t used = tail_ - (blocks_.size() - 1) * block_pool::block_bytes;
            area.iov_base = blocks_.back().get() + used;
            area.iov_len = block_pool::block_bytes - used;
        }
        area.iov_len = std::min(area.iov_len, bytes);
        bytes -= area.iov_len;
    }
    return areas;
}

void delay_line::commit(const wire_settings& wire, std::size_t bytes, time_point now) {
    tail_ += bytes;
    while (blocks_.size() * block_pool::block_bytes >= tail_ + block_pool::block_bytes) {
        pool_.give_back(std::move(blocks_.back()));
        blocks_.pop_back();
    }
    if (wire.rate == 0) {
        departs_ = std::max(departs_, now);
        append_segment(bytes, departs_ + wire.delay);
        return;
    }
    departs_ = std::max(departs_, now);
    while (bytes != 0) {
        const std::uint64_t piece = std::min<std::uint64_t>(bytes, piece_bytes);
        departs_ += time_at_rate(piece, wire.rate);
        append_segment(piece, departs_ + wire.delay);
        bytes -= piece;
    }
}

void delay_line::append_segment(std::uint64_t bytes, time_point due) {
    if (bytes == 0) return;
    put_in_ += bytes;
    if (segments_.empty()) {
        segments_.push_back({put_in_, due, due});
        return;
    }
    segment& last = segments_.back();
    due = std::max(due, last.due); // a delay that was shortened overtakes nothing
    if (due - last.first_due < together) {
        last.end = put_in_;
        last.due = due;
    } else {
        segments_.push_back({put_in_, due, due});
    }
}

time_point delay_line::end_due(const wire_settings& wire, time_point now) const {
    const time_point due = std::max(departs_, now) + wire.delay;
    return segments_.empty() ? due : std::max(due, segments_.back().due);
}

std::size_t delay_line::ready(time_point now) const {
    std::uint64_t end = taken_out_;
    for (const segment& next : segments_) {
        if (next.due > now) break;
        end = next.end;
    }
    return static_cast<std::size_t>(end - taken_out_);
}

std::optional<time_point> delay_line::next_due() const {
    if (segments_.empty()) return std::nullopt;
    return segments_.front().due;
}

std::size_t delay_line::view(std::size_t bytes, std::span<iovec, vectors> out) const {
    std::size_t count = 0;
    std::size_t offset = head_;
    for (const auto& block : blocks_) {
        if (bytes == 0 || count == out.size()) break;
        const std::size_t length = std::min(bytes, block_pool::block_bytes - offset);
        out[count++] = {block.get() + offset, length};
        bytes -= length;
        offset = 0;
    }
    return count;
}

void delay_line::consume(std::size_t bytes) {
    taken_out_ += bytes;
    head_ += bytes;
    while (!segments_.empty() && segments_.front().end <= taken_out_)
        segments_.pop_front();
    while (!blocks_.empty() && (head_ >= block_pool::block_bytes || head_ == tail_)) {
        pool_.give_back(std::move(blocks_.front()));
        blocks_.pop_front();
        const std::size_t gone = std::min(head_, block_pool::block_bytes);
        head_ -= gone;
        tail_ -= std::min(tail_, block_pool::block_bytes);
        if (blocks_.empty()) head_ = tail_ = 0;
    }
}

void delay_line::clear() {
    for (auto& block : blocks_)
        pool_.give_back(std::move(block));
    blocks_.clear();
    segments_.clear();
    head_ = tail_ = 0;
    taken_out_ = put_in_;
}

} // namespace muxsocks::tools
