#include "protocol/program/config_reader.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;
using muxsocks::test::contains;

namespace {

struct item {
    std::string name;
    std::uint32_t weight = 1;
};

enum class colour { red, green };

/// One of everything that a schema can have.
struct sample {
    bool flag = false;
    std::string text = "default";
    std::uint32_t number = 3;
    std::chrono::milliseconds duration = 15s;
    std::chrono::milliseconds idle{0};
    std::uint64_t size = 65'536;
    colour shade = colour::red;
    host_port server;
    listen_address listen;
    std::vector<network> networks;
    std::vector<host_port> servers{{"a.example", 1}};
    sha256_digest pin{};
    std::uint32_t inner = 1;
    std::vector<item> items;
    std::optional<item> maybe;
    std::string path;
    std::string file;
    std::optional<std::string> token;
};

void bind_item(config_section& section, item& value) {
    section.field("name", value.name, kinds::text(1, 8), "Its name.", {.required = true});
    section.field("weight", value.weight, kinds::number(1, 9), "Its weight.");
}

void bind(config_section& root, sample& value) {
    root.field("flag", value.flag, kinds::boolean(), "A flag.");
    root.field("text", value.text, kinds::text(1, 8), "A text.");
    root.field("number", value.number, kinds::number(1, 64), "A number.");
    root.field("duration", value.duration, kinds::duration(1s, 1h), "A duration.");
    root.field("idle", value.idle, kinds::duration(1s, 1h, true), "Another.");
    root.field("size", value.size, kinds::size(1024, 1 << 20), "A size.");
    root.field("shade", value.shade, kinds::choice<colour>({"red", "green"}), "A choice.");
    root.field("server", value.server, kinds::remote_address(), "A server.",
               {.default_text = "the usual"});
    root.field("listen", value.listen, kinds::listening_address(), "A listener.");
    root.list("networks", value.networks, kinds::ip_network(), "Networks.");
    root.one_or_list("servers", value.servers, kinds::remote_address(), "Servers.");
    root.field("pin", value.pin, kinds::digest(), "A digest.");
    root.section("section", [&](config_section& section) {
        section.field("inner", value.inner, kinds::number(1, 3), "Inside.");
    });
    root.sections("items", value.items, bind_item, "Items.");
    root.optional_section("maybe", value.maybe, bind_item, "object", "Perhaps.",
                          {.default_text = "none"});
    root.path("path", value.path, "A path.");
    root.readable_file("file", value.file, "A file.", true);
    root.secret("token", value.token, "A secret.");
}

struct outcome {
    sample value;
    std::vector<std::string> warnings;
};

outcome read(const std::string& text, const config_origin& origin = {"f.json", {}}) {
    outcome result;
    read_config(text, origin, result.warnings,
                [&](config_section& root) { bind(root, result.value); });
    return result;
}

/// The sentence that refuses `text`, without the file's name; or "accepted".
std::string refusal(const std::string& text) {
    try {
        (void)read(text);
        return "accepted";
    } catch (const config_error& error) {
        const std::string sentence = error.what();
        REQUIRE(sentence.substr(0, 8) == "f.json: ");
        return sentence.substr(8);
    }
}

} // namespace

TEST_CASE("what a configuration does not say keeps its default") {
    const sample value = read("{}").value;
    CHECK(value.text == "default");
    CHECK(value.duration == 15s);
    CHECK(value.servers == std::vector<host_port>{{"a.example", 1}});
    CHECK(value.items.empty());
    CHECK_FALSE(value.maybe);
    CHECK_FALSE(value.token);
}

TEST_CASE("a configuration's values arrive in their variables") {
    CHECK(read(R"({"flag": true})").value.flag);
    CHECK(read(R"({"text": "new"})").value.text == "new");
    CHECK(read(R"({"number": 64})").value.number == 64);
    CHECK(read(R"({"duration": "250s"})").value.duration == 250s);
    CHECK(read(R"({"idle": "0"})").value.idle == 0s);
    CHECK(read(R"({"idle": 0})").value.idle == 0s);
    CHECK(read(R"({"size": "64KiB"})").value.size == 65'536);
    CHECK(read(R"({"size": 4096})").value.size == 4096);
    CHECK(read(R"({"shade": "green"})").value.shade == colour::green);
    CHECK(read(R"({"server": "b.example:2"})").value.server == host_port{"b.example", 2});
    CHECK(read(R"({"listen": ":1080"})").value.listen.address == host_port{"", 1080});
    CHECK(read(R"({"networks": ["::1", "10.0.0.0/8"]})").value.networks.size() == 2);
    CHECK(read(R"({"servers": "c.example:3"})").value.servers ==
          std::vector<host_port>{{"c.example", 3}});
    CHECK(read(R"({"servers": ["c.example:3", "d.example:4"]})").value.servers.size() == 2);
    CHECK(read(R"({"servers": []})").value.servers.empty());
    CHECK(read(R"({"section": {"inner": 2}})").value.inner == 2);
    CHECK(read(R"({"items": [{"name": "x"}, {"name": "y", "weight": 9}]})").value.items[1].weight ==
          9);
    CHECK(read(R"({"maybe": {"name": "x"}})").value.maybe.value().name == "x");
    const std::string digits(64, 'a');
    CHECK(read("{\"pin\": \"" + digits + "\"}").value.pin[31] == 0xaa);
    CHECK(
        read(R"({"pin": "sha256//qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="})").value.pin[31] ==
        0xaa);
}

TEST_CASE("a wrong value is refused by its path, with what was expected and found") {
    CHECK(refusal(R"({"flag": "true"})") ==
          "flag: expected true or false, found \"true\"; it stands "
          "without quotation marks.");
    CHECK(refusal(R"({"text": ""})") ==
          "text: expected a text of 1 to 8 bytes without control characters, found \"\".");
    CHECK(refusal(R"({"text": "a\nb"})") == "text: expected a text of 1 to 8 bytes without control "
                                            "characters, found \"a\\nb\".");
    CHECK(refusal(R"({"number": 65})") ==
          "number: expected a whole number from 1 to 64, found 65.");
    CHECK(
        refusal(R"({"duration": 15})") ==
        "duration: expected a duration from 1s to 1h, such as \"250ms\", \"15s\" or \"2m\", found "
        "15; the unit is missing.");
    CHECK(refusal(R"({"size": "8MB"})") ==
          "size: expected a size from 1KiB to 1MiB, such as \"64KiB\", \"8MiB\" or a number of "
          "bytes, found \"8MB\".");
    CHECK(refusal(R"({"shade": "gren"})") ==
          "shade: expected \"red\" or \"green\", found \"gren\"; did you mean \"green\"?");
    CHECK(refusal(R"({"section": []})") == "section: expected an object in braces, found a list.");
    CHECK(refusal(R"({"section": {"inner": 4}})") ==
          "section.inner: expected a whole number from 1 to 3, found 4.");
    CHECK(refusal(R"({"networks": "::1"})") ==
          "networks: expected a list in brackets, found \"::1\".");
    CHECK(refusal(R"({"networks": ["::1", {}]})") ==
          "networks[1]: expected an IP address or a network, such as \"10.0.0.0/8\" or "
          "\"2001:db8::1\", found an object.");
    CHECK(refusal(R"({"items": [{"name": "x"}, {"name": "y", "weight": 10}]})") ==
          "items[1].weight: expected a whole number from 1 to 9, found 10.");
    CHECK(refusal(R"({"items": [7]})") == "items[0]: expected an object in braces, found 7.");
    CHECK(refusal(R"({"maybe": null})") == "maybe: expected an object in braces, found null.");
}

TEST_CASE("values beyond their bounds or of another type are refused") {
    for (const char* text : {R"({"flag": 1})",
                             R"({"text": 1})",
                             R"({"text": "nine char"})",
                             R"({"number": 0})",
                             R"({"number": -1})",
                             R"({"number": 1.0})",
                             R"({"number": "1"})",
                             R"({"number": 4294967297})",
                             R"({"number": true})",
                             R"({"duration": "999ms"})",
                             R"({"duration": "61m"})",
                             R"({"duration": "0"})",
                             R"({"duration": 0})",
                             R"({"idle": "1ms"})",
                             R"({"idle": null})",
                             R"({"size": 1023})",
                             R"({"size": "2MiB"})",
                             R"({"size": -1})",
                             R"({"size": 4096.0})",
                             R"({"shade": 0})",
                             R"({"shade": "Red"})",
                             R"({"server": 1})",
                             R"({"server": ":1"})",
                             R"({"server": "a.example:0"})",
                             R"({"listen": "a.example:1"})",
                             R"({"listen": 1080})",
                             R"({"networks": ["10/8"]})",
                             R"({"servers": 1})",
                             R"({"servers": [1]})",
                             R"({"pin": "abc"})",
                             R"({"pin": 1})",
                             R"({"path": 1})",
                             R"({"file": ""})"}) {
        INFO(text);
        CHECK(refusal(text) != "accepted");
    }
}

TEST_CASE("a refused address says what would help") {
    CHECK_THAT(refusal(R"({"server": "2001:db8::1:443"})"), contains("stands in brackets"));
    CHECK_THAT(refusal(R"({"server": "a.example"})"), contains("the port is missing"));
    CHECK_THAT(refusal(R"({"server": ":443"})"), contains("the host is missing"));
    CHECK_THAT(refusal(R"({"server": "https://a.example:443"})"), contains("no scheme"));
    CHECK_THAT(refusal(R"({"listen": "*:1080"})"), contains("written as \":1080\""));
    CHECK_THAT(refusal(R"({"listen": "a.example:1080"})"), contains("but \"localhost\""));
    CHECK_THAT(refusal(R"({"networks": ["10.0.0.1/8"]})"),
               contains("network of that address is \"10.0.0.0/8\", the address alone "
                        "\"10.0.0.1\""));
}

TEST_CASE("a key") {
    SECTION("that is unknown is refused, with the nearest known one") {
        CHECK(refusal(R"({"numbre": 1})") == "numbre: unknown key; did you mean \"number\"?");
        CHECK(refusal(R"({"section": {"iner": 1}})") ==
              "section.iner: unknown key; did you mean \"inner\"?");
        CHECK(refusal(R"({"items": [{"nmae": "x"}]})") ==
              "items[0].nmae: unknown key; did you mean \"name\"?");
    }
    SECTION("that resembles none is refused with those that are known there") {
        CHECK(refusal(R"({"section": {"status": 1}})") ==
              "section.status: unknown key; known here are \"inner\".");
    }
    SECTION("that is required and missing is named") {
        CHECK(refusal(R"({"items": [{"name": "x"}, {}]})") ==
              "items[1].name: this key is missing.");
    }
    SECTION("of a secret's file is known too") {
        CHECK(refusal(R"({"token_fil": "x"})") ==
              "token_fil: unknown key; did you mean \"token_file\"?");
    }
}

TEST_CASE("what an error shows of a value") {
    SECTION("is ASCII and of bounded length") {
        CHECK_THAT(refusal("{\"server\": \"" + std::string(500, 'x') + "\"}"),
                   contains("found a text of 502 bytes;"));
        CHECK_THAT(refusal("{\"text\": \"\\u001b[31m\xc3\xa4\xc3\xa4\xc3\xa4\"}"),
                   contains(R"(found "\u001b[31m\u00e4\u00e4\u00e4".)"));
    }
    SECTION("is nothing where it may be a secret") {
        CHECK(refusal(R"({"pin": "hunter2"})") ==
              "pin: expected a SHA-256 digest as 64 hexadecimal digits or 44 characters of base64, "
              "found something else; it has 7 characters.");
        CHECK(refusal(R"({"token": 987654321})").find("987654321") == std::string::npos);
    }
}

TEST_CASE("a path in a configuration") {
    const test::temporary_folder folder;
    const config_origin origin = config_origin::of_file(folder.path() / "f.json");
    SECTION("starts at the configuration's folder") {
        CHECK(read(R"({"path": "logs/a.log"})", origin).value.path ==
              (folder.path() / "logs/a.log").string());
        CHECK(read(R"({"path": ""})", origin).value.path.empty());
    }
    SECTION("of a file to read is refused with the system's reason when it cannot be read") {
        CHECK_THROWS_WITH(read(R"({"file": "none.pem"})", origin),
                          origin.name + ": file: cannot read \"" +
                              (folder.path() / "none.pem").string() +
                              "\": No such file or directory.");
        std::filesystem::create_directory(folder.path() / "sub");
        CHECK_THROWS_WITH(read(R"({"file": "sub"})", origin),
                          Catch::Matchers::EndsWith(": Is a directory."));
    }
    SECTION("of a secret file that everyone may read brings a warning") {
        folder.write("key.pem", "key", 0644);
        const auto warnings = read(R"({"file": "key.pem"})", origin).warnings;
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings[0],
                   contains("Every user of this machine may read") && contains("key.pem"));
        folder.write("key.pem", "key", 0640);
        CHECK(read(R"({"file": "key.pem"})", origin).warnings.empty());
    }
}

TEST_CASE("a secret") {
    const test::temporary_folder folder;
    const config_origin origin = config_origin::of_file(folder.path() / "f.json");
    SECTION("stands in the text") {
        CHECK(read(R"({"token": "open sesame"})").value.token == "open sesame");
    }
    SECTION("in the text makes a file that everyone may read worth a warning") {
        const std::string text = R"({"token": "open sesame"})";
        folder.write("f.json", text, 0644);
        REQUIRE(read(text, origin).warnings.size() == 1);
        CHECK_THAT(read(text, origin).warnings[0], contains("f.json"));
        CHECK(read("{}", origin).warnings.empty());
        folder.write("f.json", text, 0600);
        CHECK(read(text, origin).warnings.empty());
    }
    SECTION("comes from a file, without the line end") {
        folder.write("token", "open sesame\r\n");
        CHECK(read(R"({"token_file": "token"})", origin).value.token == "open sesame");
    }
    SECTION("comes from the environment") {
        const test::environment_variable variable("MUXSOCKS_TEST_TOKEN", "open sesame");
        CHECK(read(R"({"token": "${MUXSOCKS_TEST_TOKEN}"})").value.token == "open sesame");
    }
    SECTION("of the environment must be set") {
        CHECK(refusal(R"({"token": "${MUXSOCKS_TEST_TOKEN}"})") ==
              "token: the environment variable MUXSOCKS_TEST_TOKEN is not set.");
        const test::environment_variable variable("MUXSOCKS_TEST_TOKEN", "");
        CHECK_THAT(refusal(R"({"token": "${MUXSOCKS_TEST_TOKEN}"})"), contains("is not set"));
    }
    SECTION("that nearly refers to the environment is no secret") {
        for (const char* text : {R"({"token": "${}"})", R"({"token": "${A-B}"})",
                                 R"({"token": "${A"})", R"({"token": "${1A}"})"}) {
            INFO(text);
            CHECK_THAT(refusal(text), contains("written as \"${NAME}\""));
        }
    }
    SECTION("stands in one place only") {
        folder.write("token", "open sesame");
        CHECK_THROWS_WITH(read(R"({"token": "a", "token_file": "token"})", origin),
                          contains("token: this key and \"token_file\" exclude each other."));
    }
    SECTION("is not empty") {
        CHECK_THAT(refusal(R"({"token": ""})"), contains("token: expected a text"));
        folder.write("token", "\n");
        CHECK_THROWS_WITH(read(R"({"token_file": "token"})", origin), contains("is empty."));
    }
    SECTION("is no file of any length") {
        CHECK_THROWS_WITH(read(R"({"token_file": "/dev/zero"})"),
                          contains("longer than 64 KiB, so it is no secret."));
    }
}

TEST_CASE("the list of keys") {
    sample defaults;
    const auto keys = describe_config([&](config_section& root) { bind(root, defaults); });
    const auto key = [&](const std::string& path) {
        for (const key_info& one : keys) {
            if (one.path == path) return one;
        }
        FAIL("no key " << path);
        return key_info{};
    };
    SECTION("has type, default and help of each") {
        CHECK(key("number").type == "number, 1 to 64");
        CHECK(key("number").default_text == "3");
        CHECK(key("number").help == "A number.");
        CHECK(key("duration").default_text == "\"15s\"");
        CHECK(key("idle").type == "duration, 1s to 1h, or 0 (off)");
        CHECK(key("idle").default_text == "\"0\"");
        CHECK(key("size").default_text == "\"64KiB\"");
        CHECK(key("shade").type == "\"red\" or \"green\"");
        CHECK(key("shade").default_text == "\"red\"");
        CHECK(key("networks").type == "list of: network");
        CHECK(key("networks").default_text == "[]");
        CHECK(key("servers").type == "address, or a list");
        CHECK(key("servers").default_text == "[\"a.example:1\"]");
        CHECK(key("server").default_text == "the usual");
        CHECK(key("section.inner").default_text == "1");
        CHECK(key("items[].name").default_text == "required");
        CHECK(key("items[].weight").default_text == "1");
        CHECK(key("maybe").default_text == "none");
        CHECK(key("token_file").type == "path");
    }
    SECTION("stands in the schema's order and leaves the defaults as they are") {
        CHECK(keys.front().path == "flag");
        CHECK(keys.back().path == "token_file");
        CHECK(keys.size() == 21);
        CHECK(defaults.items.empty());
        CHECK_FALSE(defaults.maybe);
    }
}
