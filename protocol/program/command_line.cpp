#include "protocol/program/command_line.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/value_kinds.hpp"

#include <boost/program_options.hpp>
#include <boost/version.hpp>
#include <nlohmann/json.hpp>
#include <openssl/crypto.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sstream>
#include <system_error>

namespace muxsocks {

namespace {

namespace po = boost::program_options;

struct command_text {
    const char* word;
    const char* what;
};

struct role_texts {
    std::string_view program;
    std::string_view what;
    const char* config_variable;
    const char* config_file;
    std::span<const command_text> commands;
    /// How a configuration is made.
    const char* beginning;
};

constexpr std::array<command_text, 6> client_commands{
    {{"import", "make client.json from a share link"},
     {"doctor", "find out what is wrong, and what to do"},
     {"health", "ask the client that runs whether all is well"},
     {"env", "print the variables by which a shell's programs find it"},
     {"status", "show the links, sessions and traffic of the client that runs"},
     {"streams", "show its busiest streams"}}};
constexpr std::array<command_text, 8> server_commands{
    {{"init", "make key, token, server.json and client.json"},
     {"user", "add, list or remove users"},
     {"health", "ask the server that runs whether all is well"},
     {"status", "show the links, sessions and traffic of the server that runs"},
     {"users", "show who uses it, and how much"},
     {"usage", "show what each user has moved since it is counted"},
     {"streams", "show its busiest streams"},
     {"kick", "end the sessions of a user"}}};

const role_texts& texts_of(program_role role) {
    static constexpr role_texts client{
        "muxsocks-client",
        "A SOCKS and HTTP proxy whose connections share one link to a "
        "muxsocks-server.",
        "MUXSOCKS_CLIENT_CONFIG",
        "client.json",
        client_commands,
        "make one from a share link with \"muxsocks-client import "
        "LINK-FILE\", or run from it with --link-file LINK-FILE"};
    static constexpr role_texts server{
        "muxsocks-server",        "Connects to targets for the clients of its users.",
        "MUXSOCKS_SERVER_CONFIG", "server.json",
        server_commands,          "make one with \"muxsocks-server init --host HOST\""};
    return role == program_role::client ? client : server;
}

po::options_description visible_options(program_role role) {
    po::options_description options("Options");
    const std::string config_help = "configuration file (\"-\": standard input); without it: $" +
                                    std::string(texts_of(role).config_variable) + ", ./" +
                                    texts_of(role).config_file +
                                    ", $XDG_CONFIG_HOME/muxsocks/, /etc/muxsocks/";
    options.add_options()                                                               //
        ("config,c", po::value<std::string>()->value_name("FILE"), config_help.c_str()) //
        ("test,t", "check the configuration and exit")                                  //
        ("log-level,l", po::value<std::string>()->value_name("LEVEL"),
         "error, warning, info, debug or trace; wins over the file") //
        ("verbose,v", "the same as --log-level debug")               //
        ("version,V", "print the version and exit")                  //
        ("help,h", "print this text and exit");
    options.add_options()(
        "take-over", role == program_role::server
                         ? "take the place of the server that runs with the same \"listen\", "
                           "its sessions included; without one start as usual"
                         : "take the place of the client that runs with the same \"listen\", "
                           "its sessions and connections included; without one start as usual");
    if (role == program_role::server) return options;

    po::options_description flags("Without or on top of a file (with --server none is searched)");
    const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
    const auto texts = [](const char* name) {
        return po::value<std::vector<std::string>>()->value_name(name);
    };
    flags.add_options() //
        ("listen", texts("ADDRESS"),
         "where applications connect, default 127.0.0.1:1080 "     //
         "and [::1]:1080; may be repeated")                        //
        ("server", text("HOST:PORT"), "the muxsocks-server")       //
        ("user", text("NAME"), "user name at the server")          //
        ("token-file", text("FILE"), "file with the user's token") //
        ("link-file", text("FILE"),
         "file with a share link (- for standard input) to run from, instead of a configuration; "
         "without it, and where neither -c nor --server is given: $MUXSOCKS_LINK") //
        ("ca", text("FILE"), "PEM file of trusted certificates")                   //
        ("pin", texts("SHA256"), "digest of the server's public key; may be repeated");
    options.add(flags);
    return options;
}

[[noreturn]] void throw_usage(program_role role, const std::string& sentence) {
    throw usage_error(sentence + "; see " + std::string(texts_of(role).program) + " --help.");
}

/// The command that the word names, or null.
const command_text* find_command(program_role role, const std::string& word) {
    for (const auto& each : texts_of(role).commands)
        if (word == each.word) return &each;
    return nullptr;
}

[[noreturn]] void throw_not_first(program_role role, const std::string& word) {
    throw_usage(role, "\"" + word + "\" is a command and must come first, as in \"" +
                          std::string(texts_of(role).program) + " " + word + " ...\"");
}

/// A lone word is a file, or somebody meant a command.
void check_word(program_role role, const std::string& word, const search_environment& environment) {
    if (word == "-" || word.find_first_of("/.") != std::string::npos || environment.exists(word))
        return;
    if (find_command(role, word) != nullptr) throw_not_first(role, word);
    std::string commands;
    for (const auto& each : texts_of(role).commands)
        commands += (commands.empty() ? "" : ", ") + std::string(each.word);
    throw_usage(role, "\"" + word + "\" is neither a file nor a command (" + commands + ")");
}

po::variables_map parse_options(program_role role, int argc, const char* const* argv) {
    po::options_description all;
    all.add(visible_options(role));
    all.add_options()("file", po::value<std::vector<std::string>>());
    po::positional_options_description words;
    words.add("file", -1);
    // Abbreviations would change their meaning whenever an option is added.
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    try {
        po::store(
            po::command_line_parser(argc, argv).options(all).positional(words).style(style).run(),
            values);
    } catch (const po::error& error) {
        // The options of a command that stands behind them are not known here.
        for (int i = 1; i < argc; ++i)
            if (find_command(role, argv[i]) != nullptr) throw_not_first(role, argv[i]);
        throw_usage(role, error.what());
    }
    return values;
}

/// The text of one option as a value of `kind`; the same rules as in the file.
template <class T>
T parse_value(program_role role, const std::string& option, const std::string& text,
              const value_kind<T>& kind) {
    std::string hint;
    std::optional<T> value = kind.read(nlohmann::json(text), hint);
    if (value) return *std::move(value);
    throw_usage(role, "--" + option + ": expected " + kind.expected + ", found \"" + text + "\"" +
                          (hint.empty() ? "" : " (" + hint + ")"));
}

template <class T>
std::vector<T> parse_values(program_role role, const po::variables_map& values,
                            const std::string& option, const value_kind<T>& kind) {
    std::vector<T> result;
    if (values.count(option) == 0) return result;
    for (const std::string& text : values[option].as<std::vector<std::string>>()) {
        result.push_back(parse_value(role, option, text, kind));
    }
    return result;
}

std::optional<std::string> text_value(program_role role, const po::variables_map& values,
                                      const std::string& option) {
    if (values.count(option) == 0) return std::nullopt;
    std::string text = values[option].as<std::string>();
    if (text.empty()) throw_usage(role, "--" + option + " needs a value that is not empty");
    return text;
}

std::string config_path_of(program_role role, const po::variables_map& values,
                           const search_environment& environment) {
    std::string path = text_value(role, values, "config").value_or("");
    if (values.count("file") == 0) return path;
    const auto& words = values["file"].as<std::vector<std::string>>();
    if (words.front().empty()) throw_usage(role, "The name of the configuration file is empty");
    for (const auto& word : words)
        check_word(role, word, environment);
    if (!path.empty() || words.size() > 1) {
        throw_usage(role,
                    "There is one configuration file, so \"" + words.back() + "\" is one too many");
    }
    return words.front();
}

std::optional<log_level> level_of(program_role role, const po::variables_map& values) {
    if (const auto name = text_value(role, values, "log-level")) {
        const std::optional<log_level> level = parse_log_level(*name);
        if (level) return level;
        throw_usage(role, "--log-level: expected error, warning, info, debug or trace, found \"" +
                              *name + "\"");
    }
    if (values.count("verbose") != 0) return log_level::debug;
    return std::nullopt;
}

command_line::action_type action_of(const po::variables_map& values) {
    if (values.count("help") != 0) return command_line::action_type::help;
    if (values.count("version") != 0) return command_line::action_type::version;
    if (values.count("test") != 0) return command_line::action_type::test;
    return command_line::action_type::run;
}

/// Folders that are searched, in their order.
std::vector<std::filesystem::path> search_folders(const search_environment& environment) {
    std::vector<std::filesystem::path> folders{"."};
    const auto config_home = environment.variable("XDG_CONFIG_HOME");
    const auto home = environment.variable("HOME");
    if (config_home && !config_home->empty()) {
        folders.push_back(std::filesystem::path(*config_home) / "muxsocks");
    } else if (home && !home->empty()) {
        folders.push_back(std::filesystem::path(*home) / ".config" / "muxsocks");
    }
    folders.emplace_back("/etc/muxsocks");
    return folders;
}

} // namespace

std::string shell_word(std::string_view text) {
    constexpr std::string_view plain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        "%+,-./:=@_";
    if (!text.empty() && text.find_first_not_of(plain) == std::string_view::npos)
        return std::string(text);
    std::string quoted = "'";
    for (const char each : text) {
        if (each == '\'')
            quoted += "'\\''";
        else
            quoted += each;
    }
    return quoted + "'";
}

void refuse_share_links(program_role role, int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]).find(share_link_scheme) == std::string_view::npos) continue;
        throw_usage(role,
                    "a share link has a token in it, and everybody on this machine can read a "
                    "command line (ps): put the link into a file of yours and give the file's "
                    "name, as in \"muxsocks-client import FILE\" or \"muxsocks-client --link-file "
                    "FILE\", or give it by standard input, as in \"muxsocks-client import\"");
    }
}

command_line parse_command_line(program_role role, int argc, const char* const* argv,
                                const search_environment& environment) {
    refuse_share_links(role, argc, argv);
    const po::variables_map values = parse_options(role, argc, argv);
    command_line line;
    line.action = action_of(values);
    line.config_path = config_path_of(role, values, environment);
    line.level = level_of(role, values);
    line.take_over = values.count("take-over") != 0;
    if (role == program_role::server) return line;

    line.listen = parse_values(role, values, "listen", kinds::listening_address());
    if (const auto server = text_value(role, values, "server")) {
        line.server = parse_value(role, "server", *server, kinds::remote_address());
    }
    line.user = text_value(role, values, "user");
    line.token_file = text_value(role, values, "token-file");

    line.link_file = text_value(role, values, "link-file");
    if (line.link_file && !line.config_path.empty())
        throw_usage(role, "--link-file stands instead of a configuration file, so \"" +
                              line.config_path + "\" is one too many");
    line.ca = text_value(role, values, "ca");
    line.pins = parse_values(role, values, "pin", kinds::digest());
    return line;
}

std::string help_text(program_role role) {
    const role_texts& texts = texts_of(role);
    std::ostringstream text;
    text << "Usage: " << texts.program << " [OPTION]... [FILE]\n"
         << "       " << texts.program << " COMMAND [OPTION]...\n"
         << texts.what << "\n\nCommands:\n";
    for (const auto& each : texts.commands)
        text << "  " << each.word << std::string(8 - std::strlen(each.word), ' ') << each.what
             << "\n";
    text << "Each of them has a --help of its own.\n\n"
         << visible_options(role) << "\n"
         << "Signals: SIGTERM and SIGINT finish what runs and stop (a second one stops at once),\n"
         << "SIGHUP reads the configuration anew, SIGUSR1 logs statistics"
         << (role == program_role::client ? ",\nSIGUSR2 dials the server anew" : "") << ".\n"
         << "Exit codes: 0; 1 failure at run time; 2 wrong usage; 23 wrong configuration.\n"
         << "docs/CONFIGURATION.md describes every key of the file.\n";
    return text.str();
}

std::string_view program_name(program_role role) { return texts_of(role).program; }

std::string version_text(program_role role) {
    return std::string(texts_of(role).program) + " " MUXSOCKS_VERSION " (" +
           OpenSSL_version(OPENSSL_VERSION) + ", Boost " BOOST_LIB_VERSION ")\n";
}

search_environment search_environment::of_process() {
    return {[](const std::string& name) -> std::optional<std::string> {
                const char* value = std::getenv(name.c_str());
                if (value == nullptr) return std::nullopt;
                return value;
            },
            [](const std::filesystem::path& path) {
                std::error_code error;
                return std::filesystem::exists(path, error);
            }};
}

std::optional<std::filesystem::path> find_config(program_role role, const command_line& line,
                                                 const search_environment& environment) {
    if (!line.config_path.empty()) return line.config_path;
    if (line.server) return std::nullopt;
    const role_texts& texts = texts_of(role);
    const auto named = environment.variable(texts.config_variable);
    if (named && !named->empty()) return *named;

    std::string looked_at;
    for (const auto& folder : search_folders(environment)) {
        const std::filesystem::path candidate = folder / texts.config_file;
        if (environment.exists(candidate)) return candidate;
        looked_at += (looked_at.empty() ? "" : ", ") + candidate.string();
    }
    throw config_error("There is no configuration: $" + std::string(texts.config_variable) +
                       " is not set, and none of these files is there: " + looked_at +
                       "; name one with --config FILE, or " + texts.beginning + ".");
}

} // namespace muxsocks
