#include "tests/sim/endpoint.hpp"

#include <algorithm>

namespace muxsocks::sim {

void endpoint::use(pipe* out, pipe* in, std::vector<std::uint8_t> unparsed) {
    out_ = out;
    in_ = in;
    inbox_ = std::move(unparsed);
    unparsed_ = !inbox_.empty();
    laid_.clear();
    laid_bytes_ = 0;
}

bool endpoint::receive(std::size_t bytes_max, instant now) {
    if (!in_ || core.reading_paused()) return false;
    const auto fresh = in_->read(inbox_, bytes_max, now);
    if (fresh == 0 && !unparsed_) return false;
    unparsed_ = false;
    parse(now);
    return true;
}

void endpoint::parse(instant now) {
    // In memory of its own, which is gone afterwards: a view that outlives its batch is found.
    const auto batch = inbox_;
    const auto used = core.on_bytes(batch, now);
    require(used <= batch.size(), "a session took more bytes than there were");
    require(batch.size() - used < frame_header_size + frame_payload_limit,
            "a session left a whole frame untaken");
    const auto link = in_;
    settle();
    if (in_ == link)
        inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
}

void endpoint::settle() {
    while (const auto what = core.next_event())
        user_.on_event(*what);
    core.end_batch();
    // The end of a batch may shed streams.
    while (const auto what = core.next_event())
        user_.on_event(*what);
}

bool endpoint::send(std::size_t bytes_max, instant now) {
    if (!out_) return false;
    bool anything = false;
    while (core.wants_turn() && laid_bytes_ < output_max) {
        lay_turn(now);
        settle();
        anything = true;
    }
    while (!laid_.empty() && bytes_max > 0 && out_) {
        auto& oldest = laid_.front();
        const auto taken =
            out_->write(oldest.bytes.first(std::min(bytes_max, oldest.bytes.size())), now);
        if (taken == 0) break;
        anything = true;
        bytes_max -= taken;
        laid_bytes_ -= taken;
        oldest.bytes = oldest.bytes.subspan(taken);
        if (oldest.bytes.empty()) laid_.pop_front();
    }
    return anything;
}

void endpoint::lay_turn(instant now) {
    core.begin_turn(now);
    bool vain_read = false;
    while (const auto slot = core.next_read()) {
        const auto result = user_.read(*slot);
        vain_read |= result.bytes == 0;
        core.on_read(*slot, result.bytes, result.outcome);
    }
    laid_turn turn;
    turn.bytes = core.end_turn(turn.keep);
    if (turn.bytes.empty()) {
        // A socket that gives nothing may have been reset meanwhile, which is for the next turn.
        require(vain_read || !core.wants_turn(), "an empty turn, and yet wants_turn()");
        return;
    }
    require(static_cast<bool>(turn.keep), "a turn's bytes are kept by nobody");
    laid_bytes_ += turn.bytes.size();
    laid_.push_back(std::move(turn));
}

bool endpoint::time_out(instant now) {
    const auto due = core.deadline();
    if (!due || *due > now) return false;
    core.on_deadline(now);
    settle();
    const auto next = core.deadline();
    require(!next || *next > now, "a deadline was handled and is still due");
    return true;
}

} // namespace muxsocks::sim
