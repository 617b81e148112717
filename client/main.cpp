// muxsocks-client: accepts SOCKS5, carries each request over a multiplexed link.

#include "client/client.hpp"
#include "client/subcommands.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) {
    using namespace muxsocks;
    const auto file_limit = prepare_process();
    try {
        if (const auto code = client::run_subcommand(argc, argv)) return *code;
        const auto line = parse_command_line(program_role::client, argc, argv);
        switch (line.action) {
        case command_line::action_type::help:
            std::fputs(help_text(program_role::client).c_str(), stdout);
            return exit_ok;
        case command_line::action_type::version:
            std::fputs(version_text(program_role::client).c_str(), stdout);
            return exit_ok;
        case command_line::action_type::test:
            client::check(line);
            std::puts("the configuration is good");
            return exit_ok;
        case command_line::action_type::run: {
            const auto code = client::run(line, file_limit);
            (void)log::flush();
            return code;
        }
        }
    } catch (const usage_error& error) {
        log::say_at_exit(std::string("muxsocks-client: ") + error.what());
        return exit_usage;
    } catch (const config_error& error) {
        log::say_at_exit(std::string("muxsocks-client: ") + error.what());
        return exit_configuration;
    } catch (const std::exception& error) {
        log::say_at_exit(std::string("muxsocks-client: ") + error.what());
    }
    return exit_failure;
}
