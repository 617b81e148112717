#include "tests/tools/wan/command.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <vector>

namespace muxsocks::tools {
namespace {

/// A queue that holds fewer would lose packets of a single burst.
constexpr std::uint64_t automatic_queue_least = 15000;

std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> words;
    line = line.substr(0, line.find('#'));
    while (true) {
        const auto begin = line.find_first_not_of(" \t\r\n");
        if (begin == std::string_view::npos) return words;
        line.remove_prefix(begin);
        const auto end = std::min(line.find_first_of(" \t\r\n"), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

[[noreturn]] void refuse_value(std::string_view text, const std::string& expected) {
    throw std::invalid_argument("'" + std::string(text) + "' is not " + expected);
}

double parse_number(std::string_view text, double high, const std::string& expected) {
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    // Written so that a NaN is refused.
    if (error != std::errc{} || rest != end || !(number >= 0 && number <= high))
        refuse_value(text, expected);
    return number;
}

double parse_share(std::string_view text) {
    if (text.ends_with('%')) text.remove_suffix(1);
    return parse_number(text, 100, "a percentage such as 0.5, 2 or 2%") / 100;
}

/// The chances that give `share` of all packets in runs of `length`: in the long run the bad state
/// takes enter / (enter + leave) of the packets, and a stay in it 1 / leave.
burst_loss parse_burst(std::string_view share_text, std::string_view length_text) {
    const double share = parse_share(share_text);
    const double length = parse_number(length_text, 1e6, "a mean number of packets from 1");
    if (length < 1) refuse_value(length_text, "a mean number of packets from 1");
    burst_loss burst;
    burst.leave = 1 / length;
    burst.enter = share < 1 ? std::min(1.0, share * burst.leave / (1 - share)) : 1.0;
    if (share == 1) burst.leave = 0;
    return burst;
}

std::size_t parse_mtu(std::string_view text) {
    const double bytes = parse_number(text, packet_bytes_max, "an MTU from 68 to 2048");
    if (bytes < 68) refuse_value(text, "an MTU from 68 to 2048");
    return static_cast<std::size_t>(bytes);
}

} // namespace

std::string wan_commands::execute(std::string_view line, time_point now) {
    const auto parts = split(line);
    if (parts.empty()) return "ok";
    try {
        return dispatch(parts.front(), words(parts).subspan(1), now);
    } catch (const std::exception& wrong) {
        return "error: " + std::string(wrong.what());
    }
}

std::string wan_commands::dispatch(std::string_view command, words arguments, time_point now) {
    if (command == "stats") return wan_.statistics();
    if (command == "translate") {
        set_translation(arguments);
        return "ok";
    }
    if (command == "quit") {
        quit_ = true;
        return "ok";
    }
    bool up = true;
    bool down = true;
    if (!arguments.empty() &&
        (arguments[0] == "up" || arguments[0] == "down" || arguments[0] == "both")) {
        up = arguments[0] != "down";
        down = arguments[0] != "up";
        arguments = arguments.subspan(1);
    }
    if (arguments.empty()) throw std::invalid_argument(std::string(command) + " needs a value");
    for (const side where : both_sides) {
        if (!(where == side::near ? up : down)) continue;
        set(command, wan_.from(where), arguments, now);
        if (command == "queue") queue_is_automatic_[index(where)] = arguments[0] == "auto";
    }
    size_queues();
    return "ok";
}

void wan_commands::set(std::string_view command, path& way, words arguments, time_point now) {
    path_settings& settings = way.settings;
    const bool off = arguments[0] == "off";
    const auto expect = [&](std::size_t least, std::size_t most) {
        if (off && arguments.size() == 1) return;
        if (arguments.size() < least || arguments.size() > most)
            throw std::invalid_argument(std::string(command) + " takes other values than these");
    };
    if (command == "burst" || command == "reorder")
        expect(2, 2);
    else
        expect(1, command == "mtu" ? 2 : 1);

    if (command == "delay") {
        settings.delay = parse_duration(arguments[0]);
    } else if (command == "rate") {
        settings.bytes_per_second = parse_rate(arguments[0]);
    } else if (command == "queue") {
        if (arguments[0] != "auto") settings.queue_bytes = parse_size(arguments[0]);
    } else if (command == "loss") {
        settings.loss = off ? 0 : parse_share(arguments[0]);
    } else if (command == "burst") {
        settings.burst = off ? burst_loss{} : parse_burst(arguments[0], arguments[1]);
    } else if (command == "reorder") {
        settings.reorder = off ? 0 : parse_share(arguments[0]);
        settings.reorder_by = off ? duration{} : parse_duration(arguments[1]);
    } else if (command == "mtu") {
        if (arguments.size() == 2 && arguments[1] != "told") refuse_value(arguments[1], "told");
        settings.mtu = off ? 0 : parse_mtu(arguments[0]);
        settings.mtu_is_told = arguments.size() == 2;
    } else if (command == "blackout") {
        if (off)
            way.black_out_until(now);
        else if (arguments[0] == "on")
            way.black_out_until(time_point::max());
        else
            way.black_out_until(now + parse_duration(arguments[0]));
    } else {
        throw std::invalid_argument("'" + std::string(command) + "' is not a command");
    }
}

void wan_commands::set_translation(words arguments) {
    if (arguments.size() == 1 && arguments[0] == "off") return wan_.translations.clear();
    if (arguments.size() != 3 || (arguments[0] != "near" && arguments[0] != "far"))
        throw std::invalid_argument("translate takes near or far and two addresses, or off");
    translation rule{arguments[0] == "near" ? side::near : side::far,
                     parse_ip_address(arguments[1]), parse_ip_address(arguments[2])};
    if (rule.real.size() != rule.seen.size())
        throw std::invalid_argument("the two addresses are not of the same family");
    std::erase_if(wan_.translations, [&](const translation& old) {
        return old.where == rule.where && old.real == rule.real;
    });
    wan_.translations.push_back(std::move(rule));
}

/// A bandwidth-delay product needs both ways' delays, and the commands come in any order.
void wan_commands::size_queues() {
    const std::chrono::duration<double> round_trip =
        wan_.from(side::near).settings.delay + wan_.from(side::far).settings.delay;
    for (const side where : both_sides) {
        if (!queue_is_automatic_[index(where)]) continue;
        path_settings& settings = wan_.from(where).settings;
        const double product = round_trip.count() * static_cast<double>(settings.bytes_per_second);
        settings.queue_bytes = std::max(automatic_queue_least, static_cast<std::uint64_t>(product));
    }
}

} // namespace muxsocks::tools
