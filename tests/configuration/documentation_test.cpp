/// \file
/// docs/CONFIGURATION.md lists the keys that the programs know, with their types, defaults and
/// meanings. MUXSOCKS_UPDATE_DOCS=1 in the environment writes the tables instead of comparing them.

#include "client/config.hpp"
#include "protocol/program/config_reader.hpp"
#include "server/config.hpp"
#include "tests/catch.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace muxsocks;

namespace {

const std::string document_path = MUXSOCKS_SOURCE_DIR "/docs/CONFIGURATION.md";

std::string read_document() {
    std::ostringstream text;
    text << std::ifstream(document_path).rdbuf();
    return text.str();
}

/// JSON defaults as code, words as they are.
std::string default_cell(const std::string& text) {
    const bool is_json = text.find_first_of("\"[{") == 0 || text == "true" || text == "false" ||
                         text.find_first_not_of("0123456789") == std::string::npos;
    return is_json ? "`" + text + "`" : text;
}

std::string table(const std::vector<key_info>& keys) {
    std::string text = "\n| key | type | default | meaning |\n|---|---|---|---|\n";
    for (const key_info& key : keys) {
        text += "| `" + key.path + "` | " + key.type + " | " + default_cell(key.default_text) +
                " | " + key.help + " |\n";
    }
    return text + "\n";
}

/// Start and length of what stands between the marks of `program`.
std::pair<std::size_t, std::size_t> marked(const std::string& document,
                                           const std::string& program) {
    const std::string begin = "<!-- " + program + " keys: begin -->\n";
    const std::size_t first = document.find(begin);
    const std::size_t last = document.find("<!-- " + program + " keys: end -->");
    REQUIRE(first != std::string::npos);
    REQUIRE(last != std::string::npos);
    return {first + begin.size(), last - first - begin.size()};
}

void compare_or_write(const std::string& program, const std::vector<key_info>& keys) {
    std::string document = read_document();
    const auto [start, length] = marked(document, program);
    if (std::getenv("MUXSOCKS_UPDATE_DOCS") != nullptr) {
        document.replace(start, length, table(keys));
        std::ofstream(document_path) << document;
        return;
    }
    CHECK(document.substr(start, length) == table(keys));
}

} // namespace

TEST_CASE("the documentation lists the keys of client.json") {
    compare_or_write("client", client::config_keys());
}

TEST_CASE("the documentation lists the keys of server.json") {
    compare_or_write("server", server::config_keys());
}

TEST_CASE("every key has a meaning that is a sentence and fits a table") {
    auto keys = client::config_keys();
    const auto more = server::config_keys();
    keys.insert(keys.end(), more.begin(), more.end());
    for (const key_info& key : keys) {
        INFO(key.path);
        REQUIRE_FALSE(key.help.empty());
        CHECK(key.help.back() == '.');
        CHECK((key.type + key.default_text + key.help).find_first_of("|\n") == std::string::npos);
    }
}
