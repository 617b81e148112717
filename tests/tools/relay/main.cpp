/// \file
/// muxsocks-relay: a TCP relay that imitates long, narrow, slow and broken networks between two
/// programs on one machine. It delays, shapes, stalls, swallows, cuts and refuses, by its command
/// line, by a script with a seed, and while it runs by text commands (command.hpp).

#include "tests/tools/relay/command.hpp"
#include "tests/tools/relay/control.hpp"
#include "tests/tools/relay/relay.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/program_options.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace options = boost::program_options;
using namespace muxsocks;
using namespace muxsocks::tools;

struct arguments {
    std::string listen;
    std::string target;
    std::string control;
    std::string script;
    std::vector<std::string> commands;
    std::uint64_t seed = 0;
    int socket_buffer_bytes = 0;
    bool standard_input = false;
    bool verbose = false;
};

std::optional<arguments> parse(int argc, char** argv) {
    arguments parsed;
    options::options_description known("muxsocks-relay --target ADDRESS:PORT [OPTIONS]");
    auto add = known.add_options();
    add("help,h", "this text; the commands are explained in tests/tools/relay/command.hpp");
    add("target", options::value(&parsed.target)->required(), "where connections go");
    add("listen", options::value(&parsed.listen)->default_value("127.0.0.1:0"),
        "where they come from; port 0: a free one, printed as `listen ADDRESS:PORT`");
    add("control", options::value(&parsed.control),
        "a port for commands, printed as `control ADDRESS:PORT`");
    add("stdin", options::bool_switch(&parsed.standard_input), "read commands from standard input");
    add("do", options::value(&parsed.commands)->composing(), "a command to begin with");
    add("script", options::value(&parsed.script), "a file of commands to begin with");
    add("seed", options::value(&parsed.seed)->default_value(1), "of all that is random");
    add("socket-buffer", options::value(&parsed.socket_buffer_bytes)->default_value(0),
        "SO_RCVBUF and SO_SNDBUF in bytes; 0: as the kernel likes");
    add("verbose,v", options::bool_switch(&parsed.verbose), "log planned and random actions");
    options::variables_map values;
    options::store(options::parse_command_line(argc, argv, known), values);
    if (values.count("help") != 0) {
        std::cout << known;
        return std::nullopt;
    }
    options::notify(values);
    return parsed;
}

asio::ip::tcp::endpoint to_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos)
        throw std::invalid_argument("'" + text + "' is not ADDRESS:PORT");
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    return {asio::ip::make_address(host),
            static_cast<unsigned short>(std::stoul(text.substr(colon + 1)))};
}

void must_execute(command_interpreter& commands, const std::string& line) {
    const std::string answer = commands.execute(line);
    if (answer.starts_with("error")) throw std::invalid_argument(answer);
}

void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

void run(const arguments& parsed) {
    context shared;
    asio::io_context& io = shared.io;
    shared.random.seed(parsed.seed);
    relay carrier(shared, to_endpoint(parsed.listen));
    command_interpreter commands(io, carrier);
    carrier.config().socket_buffer_bytes = parsed.socket_buffer_bytes;
    commands.log_actions(parsed.verbose);
    must_execute(commands, "target " + parsed.target);
    must_execute(commands, "queue auto");
    commands.remember_start();
    for (const std::string& line : parsed.commands)
        must_execute(commands, line);
    if (!parsed.script.empty()) {
        std::ifstream script(parsed.script);
        if (!script) throw std::invalid_argument("cannot read " + parsed.script);
        for (std::string line; std::getline(script, line);)
            must_execute(commands, line);
    }
    commands.remember_start();
    const auto answer = [&commands](std::string_view line) { return commands.execute(line); };
    std::unique_ptr<control_port> control;
    if (!parsed.control.empty())
        control = std::make_unique<control_port>(io, to_endpoint(parsed.control), answer);
    asio::basic_signal_set<executor> signals(io.get_executor(), SIGTERM, SIGINT);
    signals.async_wait([&io](boost::system::error_code error, int) {
        if (!error) io.stop();
    });
    std::cout << "listen " << carrier.local_endpoint() << '\n';
    if (control) std::cout << "control " << control->local_endpoint() << '\n';
    std::cout << "ready" << std::endl;
    if (parsed.standard_input) read_standard_input(io, answer);
    io.run();
    // Connections under way hold themselves by their pending operations; they end with the process.
    std::cout.flush();
    std::_Exit(0);
}

} // namespace

int main(int argc, char** argv) {
    try {
        std::signal(SIGPIPE, SIG_IGN);
        raise_descriptor_limit();
        if (const auto parsed = parse(argc, argv)) run(*parsed);
        return 0;
    } catch (const std::exception& wrong) {
        std::cerr << "muxsocks-relay: " << wrong.what() << '\n';
        return 1;
    }
}
