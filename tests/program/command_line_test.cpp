#include "protocol/program/command_line.hpp"

#include "protocol/program/config_error.hpp"
#include "tests/catch.hpp"

#include <map>
#include <set>

using namespace muxsocks;
using muxsocks::test::contains;
using action = command_line::action_type;

namespace {

command_line parse(program_role role, std::vector<const char*> words) {
    words.insert(words.begin(), "program");
    return parse_command_line(role, static_cast<int>(words.size()), words.data());
}

command_line client(std::vector<const char*> words) {
    return parse(program_role::client, std::move(words));
}

command_line server(std::vector<const char*> words) {
    return parse(program_role::server, std::move(words));
}

/// A file system and an environment that consist of what is listed.
search_environment pretend(std::map<std::string, std::string> variables,
                           std::set<std::string> files) {
    return {[variables](const std::string& name) -> std::optional<std::string> {
                const auto found = variables.find(name);
                if (found == variables.end()) return std::nullopt;
                return found->second;
            },
            [files](const std::filesystem::path& path) { return files.count(path.string()) > 0; }};
}

} // namespace

TEST_CASE("the configuration file on the command line") {
    SECTION("follows -c or --config, or stands alone") {
        CHECK(server({"-c", "a.json"}).config_path == "a.json");
        CHECK(server({"-ca.json"}).config_path == "a.json");
        CHECK(server({"--config", "a.json"}).config_path == "a.json");
        CHECK(server({"--config=a.json"}).config_path == "a.json");
        CHECK(server({"a.json"}).config_path == "a.json");
        CHECK(server({}).config_path.empty());
    }
    SECTION("may be standard input") {
        CHECK(client({"-"}).config_path == "-");
        CHECK(client({"-c", "-"}).config_path == "-");
    }
    SECTION("is one") {
        CHECK_THROWS_AS(client({"a.json", "b.json"}), usage_error);
        CHECK_THROWS_AS(client({"-c", "a.json", "b.json"}), usage_error);
        CHECK_THROWS_AS(client({"-c", "a.json", "-c", "b.json"}), usage_error);
        CHECK_THROWS_AS(client({"-c"}), usage_error);
        CHECK_THROWS_AS(client({"-c", ""}), usage_error);
        CHECK_THROWS_AS(client({""}), usage_error);
    }
}

TEST_CASE("a lone word on the command line") {
    const auto parse_beside = [](program_role role, std::vector<const char*> words,
                                 std::set<std::string> files) {
        words.insert(words.begin(), "program");
        return parse_command_line(role, static_cast<int>(words.size()), words.data(),
                                  pretend({}, std::move(files)));
    };
    SECTION("is a file if there is one of that name, or it looks like one") {
        CHECK(parse_beside(program_role::server, {"config"}, {"config"}).config_path == "config");
        CHECK(parse_beside(program_role::server, {"init"}, {"init"}).config_path == "init");
        CHECK(parse_beside(program_role::server, {"none.json"}, {}).config_path == "none.json");
        CHECK(parse_beside(program_role::server, {"a/none"}, {}).config_path == "a/none");
    }
    SECTION("is otherwise neither a file nor a command") {
        CHECK_THROWS_WITH(parse_beside(program_role::server, {"start"}, {}),
                          "\"start\" is neither a file nor a command (init, user, health, status, "
                          "users, usage, streams, kick); see "
                          "muxsocks-server --help.");
        CHECK_THROWS_WITH(parse_beside(program_role::client, {"start"}, {}),
                          contains("import, doctor, health, env"));
    }
    SECTION("must come first if it is a command") {
        for (const std::vector<const char*>& words :
             {std::vector{"-c", "a.json", "doctor"}, std::vector{"a.json", "doctor"},
              std::vector{"--target", "a:1", "doctor"}}) {
            CHECK_THROWS_WITH(parse_beside(program_role::client, words, {}),
                              contains("\"doctor\" is a command and must come first") &&
                                  contains("muxsocks-client doctor"));
        }
    }
}

TEST_CASE("a share link stands instead of a configuration file") {
    CHECK(client({"--link-file", "link"}).link_file == "link");
    CHECK_THROWS_WITH(client({"--link-file", "link", "-c", "a.json"}), contains("\"a.json\""));
    CHECK_THROWS_AS(client({"--link-file", "link", "a.json"}), usage_error);
}

TEST_CASE("a share link on the command line is refused without repeating it") {
    const char* const link = "muxsocks://me:SECRET@example.org:443";
    const std::vector<std::vector<const char*>> lines = {{link},
                                                         {"-c", link},
                                                         {"--link-file", link},
                                                         {"--colour", link},
                                                         {"-cmuxsocks://a:SECRET@b:1"}};
    for (const auto& words : lines) {
        for (const auto role : {program_role::client, program_role::server}) {
            try {
                (void)parse(role, words);
                FAIL("accepted");
            } catch (const usage_error& error) {
                CHECK_THAT(error.what(), contains("muxsocks-client import FILE"));
                CHECK_THAT(error.what(), !contains("SECRET"));
            }
        }
    }
}

TEST_CASE("what the command line asks for") {
    CHECK(server({}).action == action::run);
    CHECK(server({"-t"}).action == action::test);
    CHECK(server({"--test", "a.json"}).action == action::test);
    CHECK(server({"-V"}).action == action::version);
    CHECK(server({"--version"}).action == action::version);
    CHECK(server({"-h"}).action == action::help);
    CHECK(server({"--help", "-V", "-t"}).action == action::help);
}

TEST_CASE("the log level on the command line") {
    CHECK_FALSE(server({}).level);
    CHECK(server({"-l", "warning"}).level == log_level::warning);
    CHECK(server({"-l", "warn"}).level == log_level::warning);
    CHECK(server({"-l", "err"}).level == log_level::error);
    CHECK(server({"--log-level=trace"}).level == log_level::trace);
    CHECK(server({"-v"}).level == log_level::debug);
    CHECK(server({"-v", "-l", "error"}).level == log_level::error);
    CHECK_THROWS_WITH(server({"-l", "loud"}),
                      "--log-level: expected error, warning, info, debug or trace, found \"loud\"; "
                      "see muxsocks-server --help.");
}

TEST_CASE("the client's flags") {
    const command_line line =
        client({"--listen", "127.0.0.1:1081", "--listen", "[::1]:1081", "--server",
                "example.org:443", "--user", "alice", "--token-file", "token", "--ca", "ca.pem",
                "--pin", "sha256//qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="});
    CHECK(line.listen ==
          std::vector<listen_address>{{{"127.0.0.1", 1081}, false}, {{"::1", 1081}, false}});
    CHECK(line.server == host_port{"example.org", 443});
    CHECK(line.user == "alice");
    CHECK(line.token_file == "token");
    CHECK(line.ca == "ca.pem");
    REQUIRE(line.pins.size() == 1);
    CHECK(line.pins[0][0] == 0xaa);
    CHECK(line.config_path.empty());

    SECTION("are checked like the file's values") {
        CHECK_THROWS_WITH(
            client({"--server", "example.org"}),
            "--server: expected an address with a port, such as \"example.org:443\", "
            "found \"example.org\" (the port is missing); see muxsocks-client --help.");
        CHECK_THROWS_AS(client({"--listen", "1080"}), usage_error);
        CHECK_THROWS_AS(client({"--pin", "abc"}), usage_error);
        CHECK_THROWS_AS(client({"--user", ""}), usage_error);
        CHECK_THROWS_AS(client({"--server", "a:1", "--server", "b:1"}), usage_error);
    }
    SECTION("are none of the server's") {
        for (const char* flag :
             {"--listen", "--server", "--user", "--token-file", "--ca", "--pin"}) {
            CHECK_THROWS_AS(server({flag, "127.0.0.1:1"}), usage_error);
        }
    }
}

TEST_CASE("an option that is unknown or abbreviated is refused with a hint") {
    CHECK_THROWS_WITH(client({"--frobnicate"}),
                      contains("--frobnicate") && contains("see muxsocks-client --help."));
    CHECK_THROWS_AS(client({"--serv", "a:1"}), usage_error);
    CHECK_THROWS_AS(client({"-x"}), usage_error);
}

TEST_CASE("the help and the version") {
    SECTION("name every option of the program") {
        for (const char* option :
             {"--config", "--test", "--log-level", "--verbose", "--version", "--help", "--server",
              "--token-file", "client.json", "MUXSOCKS_CLIENT_CONFIG"}) {
            CHECK_THAT(help_text(program_role::client), contains(option));
        }
        CHECK_THAT(help_text(program_role::server), contains("MUXSOCKS_SERVER_CONFIG"));
        CHECK_THAT(help_text(program_role::server), !contains("--token-file"));
    }
    SECTION("name every command of the program") {
        CHECK_THAT(help_text(program_role::server), contains("Commands:\n  init    make key") &&
                                                        contains("\n  user    ") &&
                                                        contains("\n  health  "));
        CHECK_THAT(help_text(program_role::client), contains("Commands:\n  import  ") &&
                                                        contains("\n  doctor  ") &&
                                                        contains("\n  health  "));
    }
    SECTION("name the program") {
        CHECK(version_text(program_role::server).find("muxsocks-server ") == 0);
        CHECK(help_text(program_role::client).find("Usage: muxsocks-client ") == 0);
    }
}

TEST_CASE("a configuration is searched for") {
    const auto find = [](const command_line& line, const search_environment& environment) {
        return find_config(program_role::client, line, environment).value_or("none").string();
    };
    const std::map<std::string, std::string> variables{
        {"MUXSOCKS_CLIENT_CONFIG", "/v.json"}, {"XDG_CONFIG_HOME", "/x"}, {"HOME", "/h"}};
    const std::set<std::string> everywhere{"./client.json", "/x/muxsocks/client.json",
                                           "/h/.config/muxsocks/client.json",
                                           "/etc/muxsocks/client.json"};
    SECTION("first on the command line, whether it is there or not") {
        CHECK(find(client({"a.json"}), pretend(variables, everywhere)) == "a.json");
        CHECK(find(client({"-"}), pretend(variables, everywhere)) == "-");
        CHECK(find(client({"a.json", "--server", "a:1"}), pretend({}, {})) == "a.json");
    }
    SECTION("nowhere if the flags name a server") {
        CHECK(find(client({"--server", "a:1"}), pretend(variables, everywhere)) == "none");
    }
    SECTION("then in the environment, whether it is there or not") {
        CHECK(find(client({}), pretend(variables, everywhere)) == "/v.json");
        CHECK(find(client({"--user", "a"}), pretend(variables, {})) == "/v.json");
    }
    SECTION("then in the working folder") {
        CHECK(find(client({}), pretend({{"MUXSOCKS_CLIENT_CONFIG", ""}}, everywhere)) ==
              "./client.json");
    }
    SECTION("then in the user's folder of configurations") {
        const std::set<std::string> elsewhere{"/x/muxsocks/client.json",
                                              "/h/.config/muxsocks/client.json",
                                              "/etc/muxsocks/client.json"};
        CHECK(find(client({}), pretend({{"XDG_CONFIG_HOME", "/x"}, {"HOME", "/h"}}, elsewhere)) ==
              "/x/muxsocks/client.json");
        CHECK(find(client({}), pretend({{"HOME", "/h"}}, elsewhere)) ==
              "/h/.config/muxsocks/client.json");
        CHECK(find(client({}), pretend({}, elsewhere)) == "/etc/muxsocks/client.json");
    }
    SECTION("by the server under its own names") {
        CHECK(find_config(program_role::server, server({}),
                          pretend(variables, {"./client.json", "/etc/muxsocks/server.json"})) ==
              "/etc/muxsocks/server.json");
    }
    SECTION("and if there is none, the places are named") {
        CHECK_THROWS_AS(find_config(program_role::client, {}, pretend({}, {})), config_error);
        CHECK_THROWS_WITH(find_config(program_role::client, {}, pretend({{"HOME", "/h"}}, {})),
                          contains("$MUXSOCKS_CLIENT_CONFIG") &&
                              contains("./client.json, /h/.config/muxsocks/client.json, "
                                       "/etc/muxsocks/client.json"));
    }
    SECTION("and how to make one") {
        CHECK_THROWS_WITH(find_config(program_role::client, {}, pretend({}, {})),
                          contains("muxsocks-client import LINK-FILE") && contains("--link-file"));
        CHECK_THROWS_WITH(find_config(program_role::server, {}, pretend({}, {})),
                          contains("muxsocks-server init --host HOST"));
    }
}

TEST_CASE("a word for a shell") {
    CHECK(shell_word("/etc/muxsocks/server.json") == "/etc/muxsocks/server.json");
    CHECK(shell_word("[::1]:8443") == "'[::1]:8443'");
    CHECK(shell_word("a b") == "'a b'");
    CHECK(shell_word("it's") == R"('it'\''s')");
    CHECK(shell_word("~/$HOME;*") == "'~/$HOME;*'");
    CHECK(shell_word("") == "''");
}
