/// \file
/// muxsocks-exact: many transfers of random data at once through a SOCKS5 proxy, every byte and
/// every end checked (checker.hpp). Writes one line of JSON; the exit code is 0 only if every
/// transfer was right (with --resets-ok a visible reset is right, too).

#include "tests/tools/exact/checker.hpp"

#include <boost/program_options.hpp>

#include <sys/resource.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

namespace {

namespace options = boost::program_options;
using namespace muxsocks::tools;

std::optional<arguments> parse(int argc, char** argv) {
    arguments parsed;
    options::options_description known("muxsocks-exact [--socks ADDRESS:PORT] [OPTIONS]");
    auto add = known.add_options();
    const auto text = [](std::string& into, const char* value) {
        return options::value(&into)->default_value(value);
    };
    const auto number = [](std::uint64_t& into, std::uint64_t value) {
        return options::value(&into)->default_value(value);
    };
    add("help,h", "this text");
    add("socks", text(parsed.socks, ""), "the proxy; without it the target is dialled directly");
    add("user", text(parsed.user, ""), "user of the proxy");
    add("password", text(parsed.password, ""), "and the password");
    add("listen", text(parsed.listen, "127.0.0.1:0"), "the target's address");
    add("target-name", text(parsed.target_name, ""), "ask the proxy for this name instead");
    add("transfers", number(parsed.transfers, 200), "how many in all");
    add("for", text(parsed.period, ""), "start new ones for this time instead");
    add("concurrency", number(parsed.concurrency, 200), "how many at a time");
    add("up", text(parsed.up, "0-1MiB"), "bytes from client to target, SIZE or SIZE-SIZE");
    add("down", text(parsed.down, "0-1MiB"), "bytes from target to client");
    add("order", text(parsed.way, "mixed"),
        "together, client-first, target-first, target-ends, or mixed: the first three in turn");
    add("pace", text(parsed.pace, "off"), "bytes a second that each end sends at most");
    add("deadline", text(parsed.deadline, "60s"), "of each transfer");
    add("seed", number(parsed.seed, 1), "of sizes and data");
    add("resets-ok", options::bool_switch(&parsed.resets_ok),
        "a reset or refused transfer is no failure; wrong bytes and early ends still are");
    options::variables_map values;
    options::store(options::parse_command_line(argc, argv, known), values);
    options::notify(values);
    if (values.count("help") == 0) return parsed;
    std::cout << known;
    return std::nullopt;
}

} // namespace

int main(int argc, char** argv) {
    try {
        std::signal(SIGPIPE, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        const auto parsed = parse(argc, argv);
        if (!parsed) return 0;
        checker all(*parsed);
        const bool right = all.run();
        std::cout << all.describe() << std::endl;
        return right ? 0 : 1;
    } catch (const std::exception& wrong) {
        std::cerr << "muxsocks-exact: " << wrong.what() << '\n';
        return 2;
    }
}
