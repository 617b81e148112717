#include "server/subcommands.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/status_command.hpp"
#include "server/config.hpp"
#include "server/edit_users.hpp"
#include "server/health.hpp"
#include "server/init.hpp"

#include <cstdio>
#include <string_view>

namespace muxsocks::server {
namespace {

int health(int argc, const char* const* argv) {
    const auto line = parse_command_line(program_role::server, argc, argv);
    if (line.action == command_line::action_type::help) {
        std::puts("muxsocks-server health [the options of the server that runs]\n"
                  "Goes through TLS and HELLO with its own port: 0 if it answered, 1 if not");
        return exit_ok;
    }
    return check_health(load_config(line).settings);
}

} // namespace

std::optional<int> run_subcommand(int argc, const char* const* argv) {
    if (argc < 2) return {};
    refuse_share_links(program_role::server, argc, argv);
    const std::string_view word = argv[1];
    if (word == "init") return initialise(argc - 1, argv + 1);
    if (word == "user") return edit_users(argc - 1, argv + 1);
    if (word == "health") return health(argc - 1, argv + 1);
    if (const auto code = run_status_command(program_role::server, argc - 1, argv + 1,
                                             [](const command_line& line) -> program_to_ask {
                                                 const auto settings = load_config(line).settings;
                                                 return {settings.status, settings.listen};
                                             }))
        return code;
    return {};
}

} // namespace muxsocks::server
