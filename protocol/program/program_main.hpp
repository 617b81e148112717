#pragma once

/// \file
/// What main() is in both programs: the command line, what it asks for, and how the program ends
/// (the exit codes of command_line.hpp, with one sentence on standard error).

#include "protocol/program/command_line.hpp"

#include <cstdint>
#include <optional>

namespace muxsocks {

struct program_functions {
    /// A subcommand's exit code; nothing if argv[1] is none.
    std::optional<int> (*run_subcommand)(int argc, const char* const* argv);
    /// Reads the configuration and all that it names; throws what is wrong with it.
    void (*check)(const command_line& line);
    /// Serves; `file_limit` is how many files the process may open.
    void (*run)(const command_line& line, std::uint64_t file_limit);
};

int program_main(program_role role, int argc, const char* const* argv,
                 const program_functions& functions);

} // namespace muxsocks
