#include "server/edit_users.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/write_file.hpp"
#include "server/config.hpp"
#include "server/new_token.hpp"

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

void write_users(const users_file& file) {
    const auto text = file.content.dump(2) + "\n";
    // What is written must load; a file that does not is never left behind.
    (void)parse_config(text, config_origin::of_file(file.path), {});
    if (file.had_comments) {
        fs::copy_file(file.path, file.path.string() + ".bak", fs::copy_options::overwrite_existing);
        std::fprintf(stderr, "comments are lost in the new file; the old one is %s.bak\n",
                     file.path.c_str());
    }
    write_secret_file(file.path, text, true);
}

auto find_user(json& users, const std::string& name) {
    return std::find_if(users.begin(), users.end(),
                        [&](const json& each) { return each.value("name", "") == name; });
}

} // namespace

int edit_users(int argc, const char* const* argv) {
    std::string verb;
    std::string name;
    std::string path;
    po::options_description all("muxsocks-server user add|list|remove [NAME] [-c server.json]\n"
                                "A running server takes the change with SIGHUP");
    auto add = all.add_options();
    add("config,c", po::value(&path), "the server's configuration");
    add("verb", po::value(&verb), "add, list or remove");
    add("name", po::value(&name), "whom");
    add("help,h", "this text");
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
        std::puts("muxsocks-server user add|list|remove [NAME] [-c server.json]\n"
                  "add prints the token, once; a running server takes the change with SIGHUP");
        return exit_ok;
    }
    const bool listing = verb == "list";
    if (!listing && verb != "add" && verb != "remove")
        throw usage_error("user: expected add, list or remove");
    if (listing != name.empty())
        throw usage_error(listing ? "user list takes no name" : "user " + verb + " needs a name");
    auto file = read_users(path);
    auto& users = file.content["users"];
    if (listing) {
        for (const auto& each : users)
            std::puts(each.value("name", "").c_str());
        return exit_ok;
    }
    const auto known = find_user(users, name);
    if (verb == "remove") {
        if (known == users.end())
            throw std::runtime_error("there is no user \"" + name + "\" in " + file.path.string());
        users.erase(known);
        write_users(file);
        std::printf("user %s removed\n", name.c_str());
        return exit_ok;
    }
    if (known != users.end())
        throw std::runtime_error("user \"" + name +
                                 "\" exists already: remove it first for a new "
                                 "token");
    const auto token = make_token();
    users.push_back({{"name", name}, {"token_sha256", token_digest_text(token)}});
    write_users(file);
    std::printf("user %s added; this token is shown once:\n%s\n", name.c_str(), token.c_str());
    return exit_ok;
}

} // namespace muxsocks::server
