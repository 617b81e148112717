#include "protocol/program/config_file.hpp"

#include "protocol/program/config_error.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <nlohmann/json.hpp>

using namespace muxsocks;

namespace {

/// The sentence that refuses `text`, or "accepted".
std::string refusal(const std::string& text) {
    try {
        (void)parse_config_text(text, {"f.json", {}});
        return "accepted";
    } catch (const config_error& error) {
        return error.what();
    }
}

} // namespace

TEST_CASE("a configuration's text") {
    SECTION("is JSON with both sorts of comments") {
        const auto value = parse_config_text("// one\n{ /* two */ \"a\": 1 // three\n}\n", {});
        CHECK(value.at("a") == 1);
    }
    SECTION("may begin with a byte order mark") { CHECK(refusal("\xef\xbb\xbf{}") == "accepted"); }
    SECTION("may have the same key in different objects") {
        CHECK(refusal(R"({"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1}]})") ==
              "accepted");
    }
}

TEST_CASE("a syntax error names line and column") {
    SECTION("of the character that is wrong") {
        CHECK(refusal("{\n  \"a\" 1\n}") ==
              "f.json, line 2, column 7: no valid JSON: unexpected number literal; expected ':'.");
        CHECK(refusal("{\"a\": 08}") ==
              "f.json, line 1, column 8: no valid JSON: unexpected number literal; expected '}'.");
        CHECK(refusal("{}}") ==
              "f.json, line 1, column 3: no valid JSON: unexpected '}'; expected end of input.");
    }
    SECTION("of the string before which a comma is missing") {
        CHECK(refusal("{\n\"a\": 1\n  \"b\\\"c\": 2}") ==
              "f.json, line 3, column 3: no valid JSON: a comma is missing before this string.");
        CHECK(refusal("[\"a\" \"b\"]") ==
              "f.json, line 1, column 6: no valid JSON: a comma is missing before this string.");
    }
    SECTION("of the bracket before which a comma is too much") {
        CHECK(refusal("{\"a\": [1,\n ]}") ==
              "f.json, line 2, column 2: no valid JSON: no comma may stand before ']'.");
        CHECK(refusal("{\"a\": 1, }") ==
              "f.json, line 1, column 10: no valid JSON: no comma may stand before '}'.");
    }
    SECTION("counting characters, not bytes") {
        CHECK(refusal("{\"\xc3\xa4\xe2\x82\xac\" 1}") ==
              "f.json, line 1, column 7: no valid JSON: unexpected number literal; expected ':'.");
    }
    SECTION("of the end, where the text ends too early") {
        CHECK(refusal("") == "f.json, line 1, column 1: no valid JSON: the text is empty.");
        CHECK(refusal(" \n") == "f.json, line 2, column 1: no valid JSON: the text is empty.");
        CHECK(refusal("{\"a\": \"b") ==
              "f.json, line 1, column 9: no valid JSON: the text ends too early.");
        CHECK(refusal("{\n/* a") ==
              "f.json, line 2, column 5: no valid JSON: the text ends too early.");
    }
    SECTION("and shows nothing of the text, which may be a secret") {
        const std::string sentence = refusal("{\"token\": hunter2hunter2, }");
        CHECK(sentence == "f.json, line 1, column 11: no valid JSON: invalid literal.");
        CHECK(refusal("{\"token\": \"hunter2\n\"}").find("hunter2") == std::string::npos);
    }
}

TEST_CASE("a configuration's text is refused") {
    SECTION("with a key that stands in one object twice, by its path") {
        CHECK(refusal(R"({"a": 1, "a": 2})") == "f.json: a: this key stands there twice.");
        CHECK(refusal(R"({"l": [[], {"x": {"y": 1}}, {"x": {"y": 1, "y": 2}}]})") ==
              "f.json: l[2].x.y: this key stands there twice.");
    }
    SECTION("when it is no object") {
        for (const char* text : {"[]", "1", "\"a\"", "null"}) {
            CHECK(refusal(text) == "f.json: expected an object in braces, found something else.");
        }
    }
    SECTION("with a number that no number type holds") {
        CHECK(refusal("{\"a\": 1e999}").find("f.json: no valid JSON: number overflow") == 0);
    }
}

TEST_CASE("a share link where a configuration is expected is not shown, but what to do is") {
    const std::string link = "muxsocks://me:SECRET@example.org:443";
    for (const auto& text : {link, "  " + link + "\n", "link:\n" + link}) {
        const auto sentence = refusal(text);
        CHECK(sentence.find("SECRET") == std::string::npos);
        CHECK(sentence.find("--link-file FILE") != std::string::npos);
        CHECK(sentence.find("import FILE") != std::string::npos);
    }
    CHECK(refusal("// " + link + "\n{}") == "accepted");
    CHECK_THROWS_WITH(read_config_file(link),
                      "A share link stands where the name of a configuration is expected: put the "
                      "link into a file, and give its name to \"muxsocks-client import\" or to "
                      "--link-file.");
}

TEST_CASE("a configuration's file") {
    const test::temporary_folder folder;
    SECTION("is read whole") {
        const std::string text = "{}" + std::string(300'000, ' ');
        CHECK(read_config_file(folder.write("a.json", text)) == text);
    }
    SECTION("that is not there is refused with the system's reason") {
        const std::string path = (folder.path() / "none.json").string();
        CHECK_THROWS_WITH(read_config_file(path), "Cannot read the configuration \"" + path +
                                                      "\": No such file or directory.");
    }
    SECTION("that is a folder is refused") {
        CHECK_THROWS_WITH(read_config_file(folder.path()),
                          Catch::Matchers::EndsWith("Is a directory."));
    }
    SECTION("that never ends is refused") {
        CHECK_THROWS_WITH(read_config_file("/dev/zero"),
                          "\"/dev/zero\" is longer than 16 MiB, so it is no configuration.");
    }
}

TEST_CASE("a relative path in a configuration starts at the configuration's folder") {
    CHECK(complete_path("tls/key.pem", config_origin::of_file("/etc/muxsocks/server.json")) ==
          "/etc/muxsocks/tls/key.pem");
    CHECK(complete_path("../key.pem", config_origin::of_file("/etc/muxsocks/server.json")) ==
          "/etc/key.pem");
    CHECK(complete_path("/tls/key.pem", config_origin::of_file("/etc/muxsocks/server.json")) ==
          "/tls/key.pem");
    CHECK(complete_path("key.pem", config_origin::of_file("server.json")) == "key.pem");
    CHECK(complete_path("key.pem", config_origin::of_file("-")) == "key.pem");
}
