#include "tests/tools/wan/wan.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

namespace muxsocks::tools {

void wan::on_packet(side where, packet_ptr arrived, time_point now) {
    path& way = from(where);
    if (way.would_tell(arrived->size)) tell_too_big(where, *arrived, now);
    for (const translation& rule : translations) {
        if (rule.where != where) continue;
        const auto source = address_of(arrived->bytes(), address_field::source);
        if (std::ranges::equal(source, rule.real))
            replace_address(arrived->bytes(), address_field::source, rule.seen);
    }
    way.on_packet(std::move(arrived), now);
}

void wan::tell_too_big(side where, const packet& refused, time_point /*now*/) {
    packet_ptr answer = pool_.take();
    if (make_too_big(refused.bytes(), from(where).settings.mtu, *answer))
        answers_[index(where)].push_back(std::move(answer));
    else
        pool_.give_back(std::move(answer));
}

packet_ptr wan::next_for(side where, time_point now) {
    auto& answers = answers_[index(where)];
    if (!answers.empty()) {
        packet_ptr answer = std::move(answers.back());
        answers.pop_back();
        return answer;
    }
    while (packet_ptr due = from(opposite(where)).next_due(now)) {
        if (translate_towards(where, *due)) return due;
        ++found_nobody_;
        pool_.give_back(std::move(due));
    }
    return nullptr;
}

/// Whether the packet's destination is somebody at that side.
bool wan::translate_towards(side where, packet& going) {
    for (const translation& rule : translations) {
        if (rule.where != where) continue;
        const auto destination = address_of(going.bytes(), address_field::destination);
        if (std::ranges::equal(destination, rule.seen)) {
            replace_address(going.bytes(), address_field::destination, rule.real);
            return true;
        }
        if (std::ranges::equal(destination, rule.real)) return false;
    }
    return true;
}

std::optional<time_point> wan::next_time() const {
    const auto up = paths_[0].next_time();
    const auto down = paths_[1].next_time();
    if (up && down) return std::min(*up, *down);
    return up ? up : down;
}

std::string wan::statistics() const {
    std::ostringstream text;
    text << "{";
    for (const side where : both_sides) {
        const path& way = from(where);
        const path_counts& counts = way.counts();
        text << (where == side::near ? R"("up": {)" : R"("down": {)") << R"("in_packets": )"
             << counts.in_packets << R"(, "in_bytes": )" << counts.in_bytes
             << R"(, "delivered_packets": )" << counts.delivered_packets
             << R"(, "delivered_bytes": )" << counts.delivered_bytes << R"(, "lost": )"
             << counts.lost << R"(, "lost_in_bursts": )" << counts.lost_in_bursts
             << R"(, "queue_full": )" << counts.queue_full << R"(, "too_big": )" << counts.too_big
             << R"(, "blacked_out": )" << counts.blacked_out << R"(, "reordered": )"
             << counts.reordered << R"(, "queued_bytes_max": )" << counts.queued_bytes_max
             << R"(, "queued_bytes": )" << way.queued_bytes() << R"(, "inside": )" << way.inside()
             << "}, ";
    }
    text << R"("found_nobody": )" << found_nobody_ << "}";
    return text.str();
}

} // namespace muxsocks::tools
