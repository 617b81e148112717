/// \file
/// The examples in configs/ load, and what they show as defaults in comments are the defaults.

#include "client/config.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_reader.hpp"
#include "server/config.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <sstream>

using namespace muxsocks;

namespace {

const char* const token = "0123456789abcdef0123456789abcdef\n";

std::string example(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(MUXSOCKS_SOURCE_DIR "/configs/" + name).rdbuf();
    return text.str();
}

/// The text with its commented-out keys in force: lines whose comment begins with a quotation mark.
std::string uncommented(const std::string& text) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        const std::size_t first = line.find_first_not_of(" /");
        const std::size_t comment = line.find("//");
        if (comment != std::string::npos && comment < first && line[first] == '"') {
            line.erase(comment, 2);
        }
        result += line + "\n";
    }
    return result;
}

/// Every key that stands anywhere in a commented or uncommented part.
bool mentions(const std::string& text, const key_info& key) {
    const std::size_t dot = key.path.rfind('.');
    const std::string name = dot == std::string::npos ? key.path : key.path.substr(dot + 1);
    return text.find("\"" + name + "\"") != std::string::npos;
}

} // namespace

TEST_CASE("the example of a client") {
    const test::temporary_folder folder;
    folder.write("token", token);
    const auto origin = config_origin::of_file(folder.path() / "client.json");
    const std::string text = example("client.json");
    const auto loaded = client::parse_config(text, origin, {});
    SECTION("loads without a warning") {
        CHECK(loaded.warnings.empty());
        CHECK(loaded.settings.servers.at(0).address == host_port{"example.org", 443});
        CHECK(loaded.settings.auth.token_sha256.has_value());
    }
    SECTION("shows defaults in its comments") {
        REQUIRE(uncommented(text) != text);
        // Of the default listeners one may be missing, of listed ones none: all else is equal.
        auto shown = client::parse_config(uncommented(text), origin, {}).settings;
        for (listen_address& listen : shown.listen) {
            listen.skip_if_unavailable = true;
        }
        CHECK(shown == loaded.settings);
    }
    SECTION("mentions every key") {
        for (const key_info& key : client::config_keys()) {
            if (key.path == "servers[].server_name" || key.path == "auth.token") continue;
            INFO(key.path);
            CHECK(mentions(text, key));
        }
    }
}

TEST_CASE("the example of a server") {
    const test::temporary_folder folder;
    folder.write("alice.token", token);
    folder.write("tls/fullchain.pem", "certificate");
    folder.write("tls/privkey.pem", "key");
    const auto origin = config_origin::of_file(folder.path() / "server.json");
    const std::string text = example("server.json");
    const auto loaded = server::parse_config(text, origin, {});
    SECTION("loads without a warning") {
        CHECK(loaded.warnings.empty());
        CHECK(loaded.settings.users.at(0).name == "alice");
        CHECK(loaded.settings.tls.key == (folder.path() / "tls/privkey.pem").string());
    }
    SECTION("shows defaults in its comments") {
        REQUIRE(uncommented(text) != text);
        CHECK(server::parse_config(uncommented(text), origin, {}).settings == loaded.settings);
    }
    SECTION("mentions every key") {
        for (const key_info& key : server::config_keys()) {
            INFO(key.path);
            CHECK(mentions(text, key));
        }
    }
}
