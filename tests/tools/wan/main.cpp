/// \file
/// muxsocks-wan: a wide area network between two network namespaces of one machine. It joins a TUN
/// device in each and carries IP packets from one to the other, late, slowly, and not all of them:
/// by its command line, and while it runs by text commands (command.hpp).

#include "tests/tools/wan/command.hpp"
#include "tests/tools/wan/loop.hpp"
#include "tests/tools/wan/tun.hpp"
#include "tests/tools/wan/wan.hpp"

#include <boost/program_options.hpp>

#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace options = boost::program_options;
using namespace muxsocks::tools;

/// What tests take as "skip".
constexpr int exit_not_permitted = 3;

struct arguments {
    std::string near;
    std::string far;
    std::string device;
    std::vector<std::string> commands;
    std::uint64_t seed = 0;
    bool standard_input = false;
};

std::optional<arguments> parse(int argc, char** argv) {
    arguments parsed;
    options::options_description known("muxsocks-wan --near NETWORK --far NETWORK [OPTIONS]");
    auto add = known.add_options();
    add("help,h", "this text; the commands are explained in tests/tools/wan/command.hpp");
    add("near", options::value(&parsed.near)->required(),
        "a network namespace's file: /proc/PID/ns/net, /run/netns/NAME");
    add("far", options::value(&parsed.far)->required(), "the other one");
    add("device", options::value(&parsed.device)->default_value("wan"),
        "the TUN devices' name in both");
    add("stdin", options::bool_switch(&parsed.standard_input),
        "read commands from standard input, and end with it");
    add("do", options::value(&parsed.commands)->composing(), "a command to begin with");
    add("seed", options::value(&parsed.seed)->default_value(1), "of all that is random");
    options::variables_map values;
    options::store(options::parse_command_line(argc, argv, known), values);
    if (values.count("help") != 0) {
        std::cout << known << "\nSIGUSR1 prints statistics, and so does the end.\n"
                  << "Exit status: 0; 1 an error; 3 TUN devices or namespaces are not permitted.\n";
        return std::nullopt;
    }
    options::notify(values);
    return parsed;
}

void run(const arguments& parsed) {
    wan carried(parsed.seed);
    wan_commands commands(carried);
    for (const std::string& line : parsed.commands) {
        const std::string answer = commands.execute(line, clock::now());
        if (answer.starts_with("error")) throw std::invalid_argument(line + ": " + answer);
    }
    tun_device near(parsed.near, parsed.device);
    tun_device far(parsed.far, parsed.device);
    wan_loop loop(carried, commands, {&near, &far}, parsed.standard_input);
    std::cout << "seed " << parsed.seed << "\nready" << std::endl;
    loop.run();
    std::cout << loop.statistics() << std::endl;
}

} // namespace

int main(int argc, char** argv) {
    try {
        if (const auto parsed = parse(argc, argv)) run(*parsed);
        return 0;
    } catch (const not_permitted& why) {
        std::cerr << "muxsocks-wan: " << why.what() << '\n';
        return exit_not_permitted;
    } catch (const std::exception& wrong) {
        std::cerr << "muxsocks-wan: " << wrong.what() << '\n';
        return 1;
    }
}
