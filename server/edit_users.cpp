#include "server/edit_users.hpp"

#include "protocol/link/tls/tls_context.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/write_file.hpp"
#include "server/checked_option.hpp"
#include "server/config.hpp"
#include "server/new_token.hpp"
#include "server/shown_link.hpp"

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace muxsocks::server {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

struct users_file {
    fs::path path;
    json content;
    bool had_comments = false;
};

users_file read_users(const std::string& path) {
    users_file file;
    command_line line;
    line.config_path = path;
    const auto found = find_config(program_role::server, line);
    if (!found || *found == "-") throw usage_error("user needs a file: -c server.json");
    file.path = *found;
    const auto text = read_config_file(file.path);
    (void)parse_config_text(text, config_origin::of_file(file.path)); // For its errors.
    file.content = json::parse(text, nullptr, true, true);
    file.had_comments = !json::accept(text);
    if (!file.content.contains("users")) file.content["users"] = json::array();
    return file;
}

/// Whether something else says who may use the server: certificates, or nobody at all.
bool may_be_without_users(const users_file& file) {
    const auto& content = file.content;
    const auto tls = content.value("tls", json::object());
    return content.value("open_server", false) || tls.contains("client_ca");
}

void write_users(const users_file& file) {
    const auto text = file.content.dump(2) + "\n";
    // What is written must load; a file that does not is never left behind.
    (void)parse_config(text, config_origin::of_file(file.path), {});
    if (file.had_comments) {
        fs::copy_file(file.path, file.path.string() + ".bak", fs::copy_options::overwrite_existing);
        std::fprintf(stderr, "comments are lost in the new file; the old one is %s.bak\n",
                     file.path.c_str());
    }
    rewrite_file(file.path, text);
}

std::string name_of(const json& user) { return user.value("name", user.value("username", "")); }

auto find_user(json& users, const std::string& name) {
    return std::find_if(users.begin(), users.end(),
                        [&](const json& each) { return name_of(each) == name; });
}

struct user_options {
    std::string verb;
    std::string name;
    std::string path;
    std::string host;
    bool no_pin = false;
};

constexpr const char* help =
    "muxsocks-server user add|list|remove [NAME] [-c server.json]\n"
    "add prints the token, once, and a share link if it knows the server's address: that of the\n"
    "client.json beside server.json, or --host HOST[:PORT] (with --no-pin for clients that trust\n"
    "the certificate's authority instead of this very key).\n"
    "A running server takes the change with SIGHUP (systemctl reload muxsocks-server)";

/// Nothing if it was help that was wanted.
std::optional<user_options> parse_user(int argc, const char* const* argv) {
    user_options options;
    po::options_description all;
    auto add = all.add_options();
    add("config,c", po::value(&options.path));
    add("host", po::value(&options.host));
    add("no-pin", po::bool_switch(&options.no_pin));
    add("verb", po::value(&options.verb));
    add("name", po::value(&options.name));
    add("help,h", "");
    po::positional_options_description words;
    words.add("verb", 1).add("name", 1);
    po::variables_map found;
    try {
        po::store(po::command_line_parser(argc, argv).options(all).positional(words).run(), found);
        po::notify(found);
    } catch (const po::error& error) {
        throw usage_error(std::string(error.what()) + "; see muxsocks-server user --help");
    }
    if (found.contains("help")) {
        std::puts(help);
        return {};
    }
    const bool listing = options.verb == "list";
    if (!listing && options.verb != "add" && options.verb != "remove")
        throw usage_error("user: expected add, list or remove");
    if (listing != options.name.empty())
        throw usage_error(listing ? "user list takes no name"
                                  : "user " + options.verb + " needs a name");
    if (options.verb != "add" && (!options.host.empty() || options.no_pin))
        throw usage_error("--host and --no-pin are for the share link that user add prints");
    return options;
}

void list_users(const users_file& file) {
    for (const auto& each : file.content.at("users"))
        std::puts(name_of(each).c_str());
}

void tell_how_it_takes_effect(const users_file& file, const char* what, const std::string& name) {
    std::printf("user %s %s; a server that runs with %s takes the change with SIGHUP "
                "(systemctl reload muxsocks-server)\n",
                name.c_str(), what, file.path.c_str());
}

void remove_user(users_file file, const std::string& name) {
    auto& users = file.content["users"];
    const auto known = find_user(users, name);
    if (known == users.end())
        throw std::runtime_error("there is no user \"" + name + "\" in " + file.path.string());
    users.erase(known);
    if (users.empty() && !may_be_without_users(file))
        throw std::runtime_error(name + " is the last user; a server without users does not start. "
                                        "Add another one first");
    write_users(file);
    tell_how_it_takes_effect(file, "removed", name);
}

/// What the new user's client needs, as far as it can be known here: nothing without the server's
/// address. `host` may be known from the command line.
std::optional<share_link> link_for(const users_file& file, const std::optional<host_port>& host,
                                   bool no_pin) {
    const auto beside = client_beside(file.path);
    if (!host && !beside) return {};
    share_link link;
    if (beside) link = beside->link;
    if (host) link.server = *host;
    link.name = link.server.host;
    if (no_pin) link.pins.clear();
    if (beside || no_pin) return link;
    const auto settings =
        parse_config(read_config_file(file.path), config_origin::of_file(file.path), {}).settings;
    if (settings.tls.enabled) link.pins = {pin_text(spki_pin_of(settings.tls.cert))};
    return link;
}

void add_user(users_file file, const user_options& options) {
    auto& users = file.content["users"];
    if (find_user(users, options.name) != users.end())
        throw std::runtime_error("user \"" + options.name +
                                 "\" exists already: remove it first for a new token");
    std::optional<host_port> host;
    (void)checked_option("NAME", options.name, kinds::text(1, 255));
    if (!options.host.empty()) host = parse_public_host(options.host);
    auto link = link_for(file, host, options.no_pin);
    const auto token = make_token();
    users.push_back({{"name", options.name}, {"token_sha256", token_digest_text(token)}});
    write_users(file);
    tell_how_it_takes_effect(file, "added", options.name);
    if (link) {
        link->user = options.name;
        link->token = token;
        std::printf("\nThe share link for its client (it is a secret):\n\n   %s\n",
                    to_string(*link).c_str());
    } else {
        std::puts("\nFor a share link, tell the server's address with --host HOST[:PORT].");
    }
    std::printf("\nThis token is shown once:\n%s\n", token.c_str());
}

} // namespace

int edit_users(int argc, const char* const* argv) {
    const auto options = parse_user(argc, argv);
    if (!options) return exit_ok;
    auto file = read_users(options->path);
    if (options->verb == "list")
        list_users(file);
    else if (options->verb == "remove")
        remove_user(std::move(file), options->name);
    else
        add_user(std::move(file), *options);
    return exit_ok;
}

} // namespace muxsocks::server
