#include "client/subcommands.hpp"

#include "client/config.hpp"
#include "client/doctor.hpp"
#include "client/environment.hpp"
#include "client/health.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/status_command.hpp"
#include "protocol/program/write_file.hpp"

#include <boost/program_options.hpp>

#include <cstdio>
#include <cstdlib>

namespace muxsocks::client {
namespace {

namespace po = boost::program_options;

po::variables_map parse(int argc, const char* const* argv, const po::options_description& all,
                        const po::positional_options_description& words, const char* name) {
    po::variables_map found;
    try {
        po::store(po::command_line_parser(argc, argv).options(all).positional(words).run(), found);
        po::notify(found);
    } catch (const po::error& error) {
        throw usage_error(std::string(error.what()) + "; see muxsocks-client " + name + " --help");
    }
    return found;
}

int import(int argc, const char* const* argv) {
    std::string link_file = "-";
    std::string out = "client.json";
    std::string listen;
    bool open_listener = false;
    bool force = false;
    po::options_description all;
    auto add = all.add_options();
    add("link-file", po::value(&link_file));
    add("out", po::value(&out));
    add("listen", po::value(&listen));
    add("open-listener", po::bool_switch(&open_listener));
    add("force", po::bool_switch(&force));
    add("help,h", "");
    po::positional_options_description words;
    words.add("link-file", 1);
    if (parse(argc, argv, all, words, "import").contains("help")) {
        std::puts("muxsocks-client import [LINK-FILE|-] [--out client.json] [--force]\n"
                  "                       [--listen ADDRESS] [--open-listener]\n"
                  "Makes client.json from a share link, read from a file or standard input.\n"
                  "--open-listener lets it listen beyond loopback for anyone (inside a container)");
        return exit_ok;
    }
    const auto name = config_origin::of_file(link_file).name;
    const auto link = parse_share_link(read_link_file(link_file), name);
    const auto text = client_config_text(link, listen, open_listener);
    // What is written must load.
    (void)parse_config(text, {name, {}}, {});
    write_secret_file(out, text, force, "--out");
    std::printf("Written to %s; run  muxsocks-client -c %s\n", out.c_str(),
                shell_word(out).c_str());
    return exit_ok;
}

int doctor(int argc, const char* const* argv) {
    command_line line;
    std::string link_file;
    std::string target;
    po::options_description all;
    auto add = all.add_options();
    add("config,c", po::value(&line.config_path));
    add("link-file", po::value(&link_file));
    add("target", po::value(&target));
    add("help,h", "");
    po::positional_options_description words;
    words.add("config", 1);
    if (parse(argc, argv, all, words, "doctor").contains("help")) {
        std::puts(
            "muxsocks-client doctor [-c client.json | --link-file FILE] [--target HOST:PORT]\n"
            "Tries name, TCP, TLS, token and a request, one after another, and says which\n"
            "step fails and what to do");
        return exit_ok;
    }
    if (!link_file.empty()) line.link_file = link_file;
    if (line.link_file && !line.config_path.empty())
        throw usage_error("doctor takes a configuration file or --link-file, not both");
    return examine(load_config(line).settings, target);
}

int env(int argc, const char* const* argv) {
    const auto line = parse_command_line(program_role::client, argc, argv);
    if (line.action == command_line::action_type::help) {
        std::puts("muxsocks-client env [the options of the client that runs]\n"
                  "Prints the variables by which a shell's programs find the proxy:\n"
                  "eval \"$(muxsocks-client env)\"");
        return exit_ok;
    }
    std::fputs(environment_of(load_config(line).settings).c_str(), stdout);
    return exit_ok;
}

int health(int argc, const char* const* argv) {
    const auto line = parse_command_line(program_role::client, argc, argv);
    if (line.action == command_line::action_type::help) {
        std::puts("muxsocks-client health [the options of the client that runs]\n"
                  "Asks through its SOCKS port for a name that does not exist: 0 if the server\n"
                  "answered, 1 if the client or its link is down");
        return exit_ok;
    }
    return check_health(load_config(line).settings);
}

} // namespace

std::optional<int> run_subcommand(int argc, const char* const* argv) {
    if (argc < 2) return {};
    refuse_share_links(program_role::client, argc, argv);
    const std::string_view word = argv[1];
    if (word == "import") return import(argc - 1, argv + 1);
    if (word == "doctor") return doctor(argc - 1, argv + 1);
    if (word == "env") return env(argc - 1, argv + 1);
    if (word == "health") return health(argc - 1, argv + 1);
    if (const auto code = run_status_command(program_role::client, argc - 1, argv + 1,
                                             [](const command_line& line) -> program_to_ask {
                                                 const auto settings = load_config(line).settings;
                                                 return {settings.status, settings.listen};
                                             }))
        return code;
    return {};
}

} // namespace muxsocks::client
