#include "protocol/program/program_main.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"

#include <cstdio>
#include <exception>
#include <string>

namespace muxsocks {
namespace {

void act(program_role role, const command_line& line, std::uint64_t file_limit,
         const program_functions& functions) {
    switch (line.action) {
    case command_line::action_type::help:
        std::fputs(help_text(role).c_str(), stdout);
        return;
    case command_line::action_type::version:
        std::fputs(version_text(role).c_str(), stdout);
        return;
    case command_line::action_type::test:
        functions.check(line);
        std::puts("the configuration is good");
        return;
    case command_line::action_type::run:
        functions.run(line, file_limit);
        (void)log::flush();
        return;
    }
}

int fail(program_role role, const std::exception& error, int code) {
    log::say_at_exit(std::string(program_name(role)) + ": " + error.what());
    return code;
}

} // namespace

int program_main(program_role role, int argc, const char* const* argv,
                 const program_functions& functions) {
    const auto file_limit = prepare_process();
    try {
        if (const auto code = functions.run_subcommand(argc, argv)) return *code;
        act(role, parse_command_line(role, argc, argv), file_limit, functions);
        return exit_ok;
    } catch (const usage_error& error) {
        return fail(role, error, exit_usage);
    } catch (const config_error& error) {
        return fail(role, error, exit_configuration);
    } catch (const std::exception& error) {
        return fail(role, error, exit_failure);
    }
}

} // namespace muxsocks
