/// \file
/// muxsocks-attack: what strangers and users do to a server who mean it no good, and what others
/// notice of it. Bounded in time and number, and loopback only. One mode a process; the last line
/// of its output is JSON. tests/attack/run puts them together.

#include "tests/attack/attack.hpp"

#include <boost/program_options.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace {

namespace options = boost::program_options;
using namespace muxsocks::attack;

struct mode {
    const char* name;
    awaitable<void> (*carry_out)(run&);
    const char* text;
};

constexpr mode modes[] = {
    {"requests", measure_requests, "a byte echoed through --socks, --rate a second; p50, p99"},
    {"newcomers", measure_newcomers, "links that log in, --rate a second; p50, p99"},
    {"crowd", measure_crowd,
     "--users with a session each, and a byte echoed --rate times a second"},
    {"outage", measure_outage,
     "--sessions of --users, all lost at once and all back, in groups of --count"},
    {"abandon", abandon_sessions,
     "--sessions of --users, cut in groups of --count, which do not come back"},
    {"idle", stay_idle, "--count connections, --rate new ones a second, that say nothing"},
    {"handshakes", fail_handshakes, "handshakes that fail: --kind garbage, cut, hello or token"},
    {"key-updates", update_keys, "--count links without a token that send KeyUpdate only"},
    {"opens", open_streams, "--rate streams a second over --sessions to --target"},
    {"resets", reset_streams, "streams that are opened and reset"},
    {"tiny-frames", send_tiny_frames, "--count streams of one-byte frames"},
    {"withhold", withhold, "downloads over --count streams without --kind acks or credit"},
    {"cut", cut_sessions, "--sessions that are all cut at once"},
    {"rejoin", rejoin, "--sessions whose links are cut and back without a pause"},
    {"targets", serve_targets, "targets: ports that echo, send, take, and hold"},
    {"ends", serve_ends, "a server that ends each link behind AUTH_OK"},
};

arguments parse(int argc, char** argv) {
    arguments parsed;
    options::options_description known("muxsocks-attack MODE [OPTIONS]");
    auto add = known.add_options();
    add("help,h", "this text");
    add("mode", options::value(&parsed.mode), "what to do");
    add("server", options::value(&parsed.server), "ADDRESS:PORT for links, or to listen at");
    add("socks", options::value(&parsed.socks), "ADDRESS:PORT of a client");
    add("target", options::value(&parsed.target), "HOST:PORT; # in HOST is a number that rises");
    add("user", options::value(&parsed.user), "of the links");
    add("kind", options::value(&parsed.kind), "see the mode");
    add("source", options::value(&parsed.source), "address of links; else each has its own");
    add("first", options::value(&parsed.first), "number of the first of those");
    add("claims", options::value(&parsed.claims), "IPv6 /48 that PROXY headers tell of, by number");
    add("plain", options::bool_switch(&parsed.plain), "links without TLS");
    add("seconds", options::value(&parsed.seconds), "how long");
    add("rate", options::value(&parsed.rate), "a second; 0: as fast as it goes");
    add("count", options::value(&parsed.count), "at most");
    add("sessions", options::value(&parsed.sessions), "at once");
    add("users", options::value(&parsed.users), "more than 1: --user is followed by a number");
    options::positional_options_description positional;
    positional.add("mode", 1);
    options::variables_map values;
    options::store(
        options::command_line_parser(argc, argv).options(known).positional(positional).run(),
        values);
    options::notify(values);
    if (values.count("help") != 0 || parsed.mode.empty()) {
        std::cout << known << "\nModes:\n";
        for (const auto& each : modes)
            std::cout << "  " << each.name << ": " << each.text << '\n';
        std::exit(values.count("help") != 0 ? 0 : 2);
    }
    return parsed;
}

/// Nothing that this tool does is for anybody else's network.
void insist_on_loopback(const arguments& given) {
    for (const auto* each : {&given.server, &given.socks})
        if (!parse_endpoint(*each).address().is_loopback())
            throw std::invalid_argument(*each + " is not on loopback");
    if (given.seconds > 3600) throw std::invalid_argument("an hour at most");
}

} // namespace

int main(int argc, char** argv) {
    try {
        std::signal(SIGPIPE, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        const auto given = parse(argc, argv);
        insist_on_loopback(given);
        for (const auto& each : modes) {
            if (given.mode != each.name) continue;
            run one(given);
            one.execute(each.carry_out);
            // What is under way is not taken apart: thousands of links, whose coroutines name all
            // else.
            std::_Exit(0);
        }
        throw std::invalid_argument("there is no mode " + given.mode);
    } catch (const std::exception& wrong) {
        std::cerr << "muxsocks-attack: " << wrong.what() << '\n';
        return 2;
    }
}
