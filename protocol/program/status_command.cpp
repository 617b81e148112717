#include "protocol/program/status_command.hpp"

#include "protocol/program/log.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/status_socket.hpp"
#include "protocol/program/status_text.hpp"

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace muxsocks {
namespace {

namespace po = boost::program_options;

struct asked {
    std::string word;
    std::string name; ///< Of the user to kick.
    std::size_t limit = 20;
    bool json = false;
    bool watch = false;
};

bool belongs_to(program_role role, std::string_view word) {
    if (word == "status" || word == "streams") return true;
    return role == program_role::server && (word == "users" || word == "usage" || word == "kick");
}

std::string help(program_role role, const std::string& word) {
    const auto begin = std::string(program_name(role)) + " " + word;
    if (word == "kick")
        return begin + " NAME [-c FILE]\n"
                       "Ends all sessions of a user, those that wait for a link, too. The user may "
                       "come again:\nto keep somebody out, remove the user\n";
    const std::string what = word == "status"  ? "links, sessions and traffic"
                             : word == "users" ? "who uses it, and how much"
                             : word == "usage"
                                 ? "what each user has moved, and what of its quota is left"
                                 : "the streams that have carried most";
    return begin + (word == "streams" ? " [--limit N]" : "") +
           " [--json] [--watch] [-c FILE]\n"
           "Asks the program that runs with this configuration (status.listen): " +
           what + ".\n--watch shows it anew each second, --json as JSON (docs/STATUS.md)\n";
}

/// Nothing if only help was asked for.
std::optional<asked> parse(program_role role, int argc, const char* const* argv,
                           command_line& line) {
    asked found;
    found.word = argv[0];
    po::options_description all;
    auto add = all.add_options();
    add("config,c", po::value(&line.config_path));
    add("help,h", "");
    if (found.word == "kick") {
        add("name", po::value(&found.name));
    } else {
        add("json", po::bool_switch(&found.json));
        add("watch", po::bool_switch(&found.watch));
        if (found.word == "streams") add("limit", po::value(&found.limit));
    }
    po::positional_options_description words;
    words.add(found.word == "kick" ? "name" : "config", 1);
    po::variables_map given;
    const auto hint = "; see " + std::string(program_name(role)) + " " + found.word + " --help";
    try {
        po::store(po::command_line_parser(argc, argv).options(all).positional(words).run(), given);
        po::notify(given);
    } catch (const po::error& error) {
        throw usage_error(error.what() + hint);
    }
    if (given.contains("help")) return std::nullopt;
    if (found.word == "kick" && found.name.empty()) throw usage_error("kick: which user?" + hint);
    return found;
}

/// Of a URL's path.
std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
            (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.') {
            encoded += c;
            continue;
        }
        char hex[4];
        std::snprintf(hex, sizeof hex, "%%%02X", byte);
        encoded += hex;
    }
    return encoded;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& each : words)
        text += (text.empty() ? "" : ", ") + each;
    return text;
}

/// Where the program listens that describes itself so (/v1/program), made safe to print; nothing if
/// it is none of ours.
std::optional<std::vector<std::string>> listen_of(const std::string& program) {
    std::vector<std::string> all;
    try {
        const auto document = nlohmann::json::parse(program);
        for (const auto& each : document.at("listen"))
            all.push_back(log::escape(each.get<std::string>()));
    } catch (const nlohmann::json::exception&) {
        return {};
    }
    return all;
}

/// The program whose configuration was named, by where it can be asked.
class running_program {
  public:
    running_program(program_role role, const command_line& line, const program_to_ask& known)
        : role_(role), file_(line.config_path), status_(known.status) {
        if (!status_.token_file.empty())
            token_ = read_secret_file(status_.token_file, "status.token_file");
        for (const auto& each : known.listen)
            listen_.push_back(log::escape(to_string(each)));
    }

    std::string ask(const std::string& method, const std::string& target) const {
        std::vector<std::string> tried;
        std::string other;
        for (const auto& each : status_addresses_to_ask(role_, status_)) {
            tried.push_back(to_string(each));
            // A question that changes something goes to nobody else.
            const auto about = ask_at(each, "GET", "/v1/program");
            if (!about) continue;
            const auto theirs = listen_of(*about);
            if (!theirs) {
                other = "what answers at " + to_string(each) + " is no muxsocks";
                continue;
            }
            if (!is_meant(*theirs)) {
                other = "what answers at " + to_string(each) + " is another " +
                        std::string(program_name(role_)) + ": it listens on " + joined(*theirs) +
                        ", and not on " + joined(listen_) + " as " + file_ + " says. The one of " +
                        file_ +
                        " does not run, was started with --listen, or found that socket taken: "
                        "then give it a status.listen of its own";
                continue;
            }
            if (auto body = ask_at(each, method, target)) return *body;
        }
        if (!other.empty()) throw std::runtime_error(other);
        throw std::runtime_error(tried.empty()
                                     ? "status.listen is \"none\", so the program cannot be asked"
                                     : "no " + std::string(program_name(role_)) + " answers at " +
                                           joined(tried) +
                                           " (status.listen): it does not run, runs with another "
                                           "configuration, or is another user's");
    }

  private:
    std::optional<std::string> ask_at(const status_address& at, const std::string& method,
                                      const std::string& target) const {
        return ask_status(at, method, target, at.tcp ? token_ : "");
    }
    /// No two programs have an address together. Whoever names no file means whoever answers.
    bool is_meant(const std::vector<std::string>& theirs) const {
        return file_.empty() || std::any_of(listen_.begin(), listen_.end(), [&](const auto& each) {
                   return std::find(theirs.begin(), theirs.end(), each) != theirs.end();
               });
    }

    program_role role_;
    std::string file_;
    status_settings status_;
    std::string token_;
    std::vector<std::string> listen_;
};

bool coloured() { return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

void show_once(const asked& what, const running_program& from) {
    const auto target =
        "/v1/" + what.word + (what.word == "streams" ? "?limit=" + std::to_string(what.limit) : "");
    const auto body = from.ask("GET", target);
    const auto text = what.json ? body : status_text(what.word, body, coloured());
    // What was there is replaced where somebody watches, and followed where it is collected.
    if (what.watch && !what.json && ::isatty(STDOUT_FILENO) == 1)
        std::fputs("\x1b[H\x1b[2J", stdout);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
}

} // namespace

std::optional<int>
run_status_command(program_role role, int argc, const char* const* argv,
                   const std::function<program_to_ask(const command_line& line)>& load) {
    if (!belongs_to(role, argv[0])) return std::nullopt;
    command_line line;
    const auto what = parse(role, argc, argv, line);
    if (!what) {
        std::fputs(help(role, argv[0]).c_str(), stdout);
        return exit_ok;
    }
    const running_program from(role, line, load(line));
    if (what->word == "kick") {
        const auto body = from.ask("POST", "/v1/users/" + percent_encoded(what->name) + "/kick");
        std::fputs(status_text("kick", body, coloured()).c_str(), stdout);
        return exit_ok;
    }
    for (;;) {
        show_once(*what, from);
        if (!what->watch || std::ferror(stdout)) return exit_ok;
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

} // namespace muxsocks
