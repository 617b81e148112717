#include "protocol/program/path_text.hpp"

#include "protocol/program/log.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

double milliseconds(duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

} // namespace

std::string path_text(const path_facts& path) {
    return fmt::format(
        "round trip {:.1f} ms (least {:.1f}), {} of {} packets sent again, {} came out "
        "of order, {} bytes arrived, {} came, {} in flight, {} unsent, {} bytes a "
        "second delivered",
        milliseconds(path.rtt), milliseconds(path.rtt_min), path.retransmits, path.sent,
        path.out_of_order, path.acked_bytes, path.received_bytes, path.in_flight_bytes(),
        path.unsent_bytes, path.bytes_per_second);
}

std::string role_text(const link_roles* roles, link_number number) {
    // Before anything was chosen a session has one link.
    if (!roles || roles->small == link_roles::none) return "all";
    std::string text;
    const auto add = [&](bool has, const char* word) {
        if (has) text += (text.empty() ? "" : " and ") + std::string(word);
    };
    add(roles->small == number, "small frames");
    add(roles->twice == number, "copies");
    add(std::find(roles->bulk.begin(), roles->bulk.end(), number) != roles->bulk.end(), "bulk");
    return text.empty() ? "nothing" : text;
}

} // namespace muxsocks
