// muxsocks-server: accepts multiplexed links and dials what their streams ask for.

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"
#include "server/server.hpp"
#include "server/subcommands.hpp"

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) {
    using namespace muxsocks;
    const auto file_limit = prepare_process();
    try {
        if (const auto code = server::run_subcommand(argc, argv)) return *code;
        const auto line = parse_command_line(program_role::server, argc, argv);
        switch (line.action) {
        case command_line::action_type::help:
            std::fputs(help_text(program_role::server).c_str(), stdout);
            return exit_ok;
        case command_line::action_type::version:
            std::fputs(version_text(program_role::server).c_str(), stdout);
            return exit_ok;
        case command_line::action_type::test:
            server::check(line);
            std::puts("the configuration is good");
            return exit_ok;
        case command_line::action_type::run: {
            const auto code = server::run(line, file_limit);
            (void)log::flush();
            return code;
        }
        }
    } catch (const usage_error& error) {
        log::say_at_exit(std::string("muxsocks-server: ") + error.what());
        return exit_usage;
    } catch (const config_error& error) {
        log::say_at_exit(std::string("muxsocks-server: ") + error.what());
        return exit_configuration;
    } catch (const std::exception& error) {
        log::say_at_exit(std::string("muxsocks-server: ") + error.what());
    }
    return exit_failure;
}
