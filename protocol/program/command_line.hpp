#pragma once

/// \file
/// The command line of both programs, and where a configuration is looked for when it names none.
///
/// Parsing reads no file. Help and version are texts here, printing them and the exit codes are
/// main's business: 0; 1 for a failure at run time; 2 for a usage_error; 23 for a config_error.

#include "protocol/program/settings.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

enum class program_role { client, server };

/// "muxsocks-client" or "muxsocks-server".
[[nodiscard]] std::string_view program_name(program_role role);

inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_configuration = 23;

/// One full sentence about a wrong command line, with a hint at --help.
class usage_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What the command line says. The client's flags are empty for the server, which has none.
struct command_line {
    enum class action_type { run, test, help, version };

    action_type action = action_type::run;
    /// As given with -c or as the lone word; "-" is standard input. Empty: not given.
    std::string config_path;
    /// From -l, else from -v (debug). Wins over log.level, also after a reload.
    std::optional<log_level> level;
    /// Whether the place of a process that serves the same addresses is taken, if there is one.
    bool take_over = false;

    std::vector<listen_address> listen;
    std::optional<host_port> server;
    std::optional<std::string> user;
    /// Paths are relative to the working folder, unlike those in a file.
    std::optional<std::string> token_file;
    /// A share link stands in this file ("-" is standard input) instead of a configuration.
    std::optional<std::string> link_file;
    /// What stood in it, where it can be read only once (standard input), for reloads.
    std::optional<std::string> link_text;
    std::optional<std::string> ca;
    std::vector<sha256_digest> pins;
};

/// `text` as one word of a shell's command line: quoted where it has more than letters, digits and
/// what no shell reads anything into.
[[nodiscard]] std::string shell_word(std::string_view text);

/// Throws usage_error where a share link stands on the command line, without repeating it: it is a
/// secret, and ps shows command lines to everybody.
void refuse_share_links(program_role role, int argc, const char* const* argv);

/// What --help and --version print, each with a newline at its end.
[[nodiscard]] std::string help_text(program_role role);
[[nodiscard]] std::string version_text(program_role role);

/// Where a configuration is searched for: an environment variable's value by its name (nothing if
/// it is unset), and whether a file is there. The second argument of find_config for tests.
struct search_environment {
    std::function<std::optional<std::string>(const std::string& name)> variable;
    std::function<bool(const std::filesystem::path& path)> exists;

    /// The process's own.
    [[nodiscard]] static search_environment of_process();
};

/// Throws usage_error. argv[0] is skipped. A lone word that is no file's name is taken for a
/// command that does not exist, or stands in the wrong place.
[[nodiscard]] command_line
parse_command_line(program_role role, int argc, const char* const* argv,
                   const search_environment& environment = search_environment::of_process());

/// The configuration file to read: what the command line names ("-" for standard input), else
/// $MUXSOCKS_CLIENT_CONFIG or $MUXSOCKS_SERVER_CONFIG, else the first that is there of
/// ./client.json
/// (./server.json), $XDG_CONFIG_HOME/muxsocks/ (by default ~/.config/muxsocks/) and /etc/muxsocks/.
/// Nothing if the client's flags name a server and no file is named: then no file is read.
/// Throws config_error, naming the places, if there is none.
[[nodiscard]] std::optional<std::filesystem::path>
find_config(program_role role, const command_line& line,
            const search_environment& environment = search_environment::of_process());

} // namespace muxsocks
