#include "tests/tools/relay/command.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace muxsocks::tools {
namespace {

/// A queue that is always deep enough for one large read and never in the way without a rate.
constexpr std::uint64_t least_queue_bytes = 256 * 1024;
constexpr std::uint64_t queue_without_rate_bytes = 64 * 1024 * 1024;

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

std::vector<std::string_view> split(std::string_view line, char separator) {
    std::vector<std::string_view> parts;
    while (!line.empty()) {
        const auto end = std::min(line.find(separator), line.size());
        if (end != 0) parts.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return parts;
}

/// The text behind the first `count` words.
std::string behind(std::string_view line, std::size_t count) {
    for (; count != 0; --count) {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        line.remove_prefix(std::min(line.find(' '), line.size()));
    }
    return std::string(line);
}

/// Takes an optional leading direction off the arguments; both without one.
std::vector<direction> take_directions(std::span<const std::string_view>& arguments) {
    std::vector<direction> chosen{both_directions.begin(), both_directions.end()};
    if (arguments.empty()) return chosen;
    if (arguments.front() == "up")
        chosen = {direction::up};
    else if (arguments.front() == "down")
        chosen = {direction::down};
    else if (arguments.front() != "both")
        return chosen;
    arguments = arguments.subspan(1);
    return chosen;
}

std::string_view only(std::span<const std::string_view> arguments, std::string_view expected) {
    if (arguments.size() != 1) refuse("expected " + std::string(expected));
    return arguments.front();
}

cut_style parse_style(std::span<const std::string_view> arguments) {
    if (arguments.empty() || arguments.front() == "rst") return cut_style::rst;
    if (arguments.front() == "fin") return cut_style::fin;
    refuse("expected rst or fin, found '" + std::string(arguments.front()) + "'");
}

asio::ip::tcp::endpoint parse_endpoint(std::string_view text) {
    const auto colon = text.rfind(':');
    unsigned short port = 0;
    if (colon == std::string_view::npos ||
        std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ptr !=
            text.data() + text.size())
        refuse("'" + std::string(text) + "' is not ADDRESS:PORT");
    std::string host(text.substr(0, colon));
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    boost::system::error_code failed;
    const auto address = asio::ip::make_address(host, failed);
    if (failed) refuse("'" + host + "' is not an IP address");
    return {address, port};
}

struct chaos_action {
    std::string_view word;
    std::string_view line; ///< %t: 50 to 400 ms, %n: 1 to 64 KiB, %d: a direction
};

constexpr std::array<chaos_action, 8> chaos_actions{{
    {"cut", "cut rst"},
    {"fin", "cut fin"},
    {"half", "cut rst client"},
    {"stall", "stall %d %t"},
    {"swallow", "swallow %d on"},
    {"chunk", "chunk 1-%n"},
    {"throttle", "rate %d %nk"},
    {"source", "source random"},
}};

std::string fill_in(std::string_view line, random_engine& random) {
    std::string filled;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] != '%' || i + 1 == line.size()) {
            filled += line[i];
            continue;
        }
        switch (line[++i]) {
        case 't':
            filled += std::to_string(draw({50, 400}, random)) + "ms";
            break;
        case 'n':
            filled += std::to_string(draw({1000, 65536}, random));
            break;
        default:
            filled += std::array{"up", "down", "both"}[draw({0, 2}, random)];
            break;
        }
    }
    return filled;
}

} // namespace

std::string command_interpreter::execute(std::string_view line) {
    if (const auto comment = line.find('#'); comment != std::string_view::npos)
        line = line.substr(0, comment);
    const auto end = line.find_last_not_of(" \r\n");
    line = line.substr(0, end == std::string_view::npos ? 0 : end + 1);
    const auto parts = split(line, ' ');
    if (parts.empty()) return "ok";
    try {
        return dispatch(parts.front(), words(parts).subspan(1), line);
    } catch (const std::exception& wrong) {
        return "error: " + std::string(parts.front()) + ": " + wrong.what();
    }
}

std::string command_interpreter::dispatch(std::string_view command, words arguments,
                                          std::string_view line) {
    if (command == "stats") return relay_.describe();
    if (command == "delay" || command == "rate")
        set_wire(command, arguments);
    else if (command == "queue")
        set_queue(arguments);
    else if (command == "chunk")
        set_chunk(arguments);
    else if (command == "stall")
        set_stall(arguments);
    else if (command == "swallow")
        set_swallow(arguments);
    else if (command == "refuse")
        set_refuse(arguments);
    else if (command == "source")
        set_source(arguments);
    else if (command == "target")
        relay_.config().target = parse_endpoint(only(arguments, "ADDRESS:PORT"));
    else if (command == "cut")
        cut(arguments);
    else if (command == "cut-after" || command == "cut-in")
        cut_later(command, arguments);
    else if (command == "at" || command == "every")
        plan(command, arguments, line);
    else if (command == "chaos")
        plan_chaos(arguments);
    else if (command == "cancel")
        cancel();
    else if (command == "reset") {
        cancel();
        relay_.config() = start_;
        relay_.refuse(false);
    } else if (command == "quit")
        io_.stop();
    else
        refuse("no such command");
    relay_.settings_changed();
    return "ok";
}

void command_interpreter::set_wire(std::string_view command, words arguments) {
    const auto ways = take_directions(arguments);
    const auto text = only(arguments, command == "delay" ? "a time" : "a rate or off");
    for (const direction way : ways) {
        wire_settings& wire = relay_.config()[way].wire;
        if (command == "delay")
            wire.delay = parse_duration(text);
        else
            wire.rate = parse_rate(text);
    }
    if (queue_is_automatic_) automatic_queue();
}

void command_interpreter::set_queue(words arguments) {
    const auto text = only(arguments, "a size or auto");
    queue_is_automatic_ = text == "auto";
    if (queue_is_automatic_) return automatic_queue();
    for (direction_settings& way : relay_.config().directions)
        way.wire.queue_bytes = std::max<std::uint64_t>(1, parse_size(text));
}

void command_interpreter::automatic_queue() {
    duration round_trip{};
    for (const direction_settings& way : relay_.config().directions)
        round_trip += way.wire.delay;
    const double seconds = std::chrono::duration<double>(round_trip).count();
    for (direction_settings& way : relay_.config().directions) {
        wire_settings& wire = way.wire;
        wire.queue_bytes =
            wire.rate == 0
                ? queue_without_rate_bytes
                : std::max(least_queue_bytes, static_cast<std::uint64_t>(
                                                  2 * seconds * static_cast<double>(wire.rate)));
    }
}

void command_interpreter::set_chunk(words arguments) {
    const auto text = only(arguments, "a size, a range of sizes or off");
    if (text == "off")
        relay_.config().chunk.reset();
    else
        relay_.config().chunk = parse_size_range(text);
}

void command_interpreter::set_stall(words arguments) {
    const auto ways = take_directions(arguments);
    const auto text = only(arguments, "on, off or a time");
    const bool on = text != "off";
    if (on && text != "on") {
        const duration time = parse_duration(text);
        for (const direction way : ways)
            execute_later(time, "stall " + std::string(name(way)) + " off");
    }
    for (const direction way : ways)
        relay_.config()[way].stalled = on;
}

void command_interpreter::set_swallow(words arguments) {
    const auto ways = take_directions(arguments);
    if (arguments.empty() || (arguments.front() != "on" && arguments.front() != "off"))
        refuse("expected on or off");
    const bool on = arguments.front() == "on";
    const bool new_too = arguments.size() == 2 && arguments.back() == "new";
    if (arguments.size() > 2 || (arguments.size() == 2 && !new_too))
        refuse("expected only 'new' behind on");
    for (const direction way : ways) {
        relay_.config()[way].swallow_new = on && new_too;
        if (on) relay_.swallow(way);
    }
}

void command_interpreter::set_refuse(words arguments) {
    const auto text = only(arguments, "on, off or a time");
    if (text != "on" && text != "off") execute_later(parse_duration(text), "refuse off");
    relay_.refuse(text != "off");
}

void command_interpreter::set_source(words arguments) {
    const auto text = only(arguments, "addresses, random or off");
    settings& config = relay_.config();
    std::vector<asio::ip::address> sources;
    if (text != "random" && text != "off")
        for (const auto each : split(text, ','))
            sources.push_back(asio::ip::make_address(std::string(each)));
    config.random_source = text == "random";
    config.sources = std::move(sources);
}

void command_interpreter::cut(words arguments) {
    cut_style style = cut_style::rst;
    cut_side side = cut_side::both;
    selection which = selection::all;
    for (const auto word : arguments) {
        if (word == "rst")
            style = cut_style::rst;
        else if (word == "fin")
            style = cut_style::fin;
        else if (word == "client")
            side = cut_side::client;
        else if (word == "server")
            side = cut_side::server;
        else if (word == "both")
            side = cut_side::both;
        else if (word == "all")
            which = selection::all;
        else if (word == "oldest")
            which = selection::oldest;
        else if (word == "newest")
            which = selection::newest;
        else
            refuse("unknown word '" + std::string(word) + "'");
    }
    relay_.cut(style, side, which);
}

void command_interpreter::cut_later(std::string_view command, words arguments) {
    settings& config = relay_.config();
    if (command == "cut-after" && arguments.size() == 1 && arguments.front() == "off") {
        for (direction_settings& way : config.directions)
            way.cut_after.reset();
        return;
    }
    const auto ways = take_directions(arguments);
    if (arguments.empty() || arguments.size() > 2) refuse("expected [up|down] SIZE [rst|fin]");
    const auto bytes = parse_size_range(arguments.front());
    const cut_style style = parse_style(arguments.subspan(1));
    for (const direction way : ways) {
        if (command == "cut-in") {
            relay_.cut_in(way, bytes, style);
        } else {
            config[way].cut_after = bytes;
            config[way].cut_after_style = style;
        }
    }
}

void command_interpreter::plan(std::string_view command, words arguments, std::string_view line) {
    if (arguments.size() < 2) refuse("expected a time and a command");
    std::string later = behind(line, 2);
    if (command == "at") return execute_later(parse_duration(arguments.front()), std::move(later));
    const auto pause = parse_duration_range(arguments.front());
    if (pause.low <= duration::zero()) refuse("the time must be above 0");
    repeat(pause, [later = std::move(later)] { return later; });
}

void command_interpreter::plan_chaos(words arguments) {
    if (arguments.empty() || arguments.size() > 2) refuse("expected TIME[-TIME] [WORD,...]");
    const auto pause = parse_duration_range(arguments.front());
    if (pause.low <= duration::zero()) refuse("the time must be above 0");
    std::vector<chaos_action> chosen{chaos_actions.begin(), chaos_actions.end()};
    if (arguments.size() == 2) {
        chosen.clear();
        for (const auto word : split(arguments.back(), ',')) {
            const auto found = std::find_if(chaos_actions.begin(), chaos_actions.end(),
                                            [&](const auto& known) { return known.word == word; });
            if (found == chaos_actions.end()) refuse("unknown action '" + std::string(word) + "'");
            chosen.push_back(*found);
        }
    }
    repeat(pause, [this, chosen = std::move(chosen)] {
        random_engine& random = relay_.random();
        // What was slowed down by an earlier action is as it was at the start again.
        relay_.config().chunk = start_.chunk;
        for (const direction way : both_directions)
            relay_.config()[way].wire = start_[way].wire;
        return fill_in(chosen[draw({0, chosen.size() - 1}, random)].line, random);
    });
}

void command_interpreter::execute_later(duration delay, std::string line) {
    const auto timer = std::make_shared<steady_timer>(io_.get_executor());
    planned_.push_back(timer);
    timer->expires_after(delay);
    timer->async_wait([this, timer, line = std::move(line)](boost::system::error_code cancelled) {
        if (cancelled) return;
        planned_.remove(timer);
        execute_planned(line);
    });
}

void command_interpreter::repeat(range<duration> pause, std::function<std::string()> next) {
    const auto timer = std::make_shared<steady_timer>(io_.get_executor());
    planned_.push_back(timer);
    timer->expires_after(draw(pause, relay_.random()));
    timer->async_wait(
        [this, timer, pause, next = std::move(next)](boost::system::error_code cancelled) {
            if (cancelled) return;
            planned_.remove(timer);
            execute_planned(next());
            repeat(pause, next);
        });
}

void command_interpreter::execute_planned(const std::string& line) {
    const std::string answer = execute(line);
    if (log_actions_ || answer.starts_with("error")) std::cerr << line << ": " << answer << '\n';
}

void command_interpreter::cancel() {
    for (const auto& timer : std::exchange(planned_, {}))
        timer->cancel();
}

} // namespace muxsocks::tools
