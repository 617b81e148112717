#include "protocol/program/log.hpp"

#include "protocol/program/config_error.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

using namespace muxsocks;
using muxsocks::test::contains;
using nlohmann::json;

namespace {

/// A log file of the test's own; afterwards the log is what it was before.
class log_file {
  public:
    explicit log_file(log_format format, log_level level = log_level::info) {
        log::open({level, format, (folder_.path() / "a.log").string(), false});
    }
    ~log_file() { log::open({}); }
    log_file(const log_file&) = delete;
    log_file& operator=(const log_file&) = delete;

    [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "a.log"; }

    [[nodiscard]] std::vector<std::string> lines(const std::string& name = "a.log") const {
        REQUIRE(log::flush(std::chrono::seconds(10)));
        std::istringstream text(folder_.read(name));
        std::vector<std::string> result;
        for (std::string line; std::getline(text, line);) {
            result.push_back(line);
        }
        return result;
    }

  private:
    test::temporary_folder folder_;
};

/// Says that it was formatted.
struct witness {
    bool* formatted;
};

} // namespace

template <>
struct fmt::formatter<witness> : fmt::formatter<int> {
    template <class Context>
    auto format(const witness& value, Context& context) const {
        *value.formatted = true;
        return fmt::formatter<int>::format(7, context);
    }
};

TEST_CASE("a line of text") {
    const log_file file(log_format::text);
    log::info("link {} up after {} ms", 3, 12.5);
    log::warning("careful");
    const auto lines = file.lines();
    REQUIRE(lines.size() == 2);
    SECTION("has time, level and message") {
        // 2024-01-02T03:04:05.678+00:00 info    link 3 up after 12.5 ms
        CHECK(lines[0].substr(4, 1) == "-");
        CHECK(lines[0].substr(10, 1) == "T");
        CHECK(lines[0].substr(19, 1) == ".");
        CHECK(lines[0].substr(29) == " info    link 3 up after 12.5 ms");
        CHECK(lines[1].substr(29) == " warning careful");
    }
}

TEST_CASE("a line of JSON") {
    const log_file file(log_format::json);
    log::error("he said \"{}\"\n\x01 \xff \xc3\xa4", "a\\b");
    const auto lines = file.lines();
    REQUIRE(lines.size() == 1);
    const json value = json::parse(lines[0]);
    CHECK(value.at("level") == "error");
    CHECK(value.at("message") == "he said \"a\\b\"\n\x01 \xef\xbf\xbd \xc3\xa4");
    CHECK(value.at("time").get<std::string>().size() == 29);
    CHECK(value.size() == 3);
}

TEST_CASE("a line that tells of an end has the reason in one word") {
    SECTION("of JSON") {
        const log_file file(log_format::json);
        log::info(log::because{"reset"}, "link {} lost", 3);
        const json value = json::parse(file.lines().at(0));
        CHECK(value.at("message") == "link 3 lost");
        CHECK(value.at("reason") == "reset");
        CHECK(value.size() == 4);
    }
    SECTION("of text") {
        const log_file file(log_format::text);
        log::info(log::because{"reset"}, "link {} lost", 3);
        CHECK(file.lines().at(0).substr(38) == "link 3 lost [reset]");
    }
}

TEST_CASE("whatever a message contains, it stays one line of text without control characters") {
    const log_file file(log_format::text);
    log::info("{}", std::string("a\nb\r\x1b[31m\0c\x7f", 12));
    const auto lines = file.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].substr(38) == R"(a\x0ab\x0d\x1b[31m\x00c\x7f)");
}

TEST_CASE("below the level in force") {
    const log_file file(log_format::text, log_level::warning);
    bool formatted = false;
    SECTION("nothing is written or formatted") {
        log::info("{}", witness{&formatted});
        log::debug("{}", witness{&formatted});
        log::trace("{}", witness{&formatted});
        CHECK_FALSE(formatted);
        CHECK(file.lines().empty());
    }
    SECTION("and above it everything is") {
        log::warning("{}", witness{&formatted});
        CHECK(formatted);
        log::error("8");
        CHECK(file.lines().size() == 2);
    }
    SECTION("until the level changes") {
        CHECK_FALSE(log::enabled(log_level::debug));
        log::set_level(log_level::debug);
        CHECK(log::enabled(log_level::debug));
        CHECK_FALSE(log::enabled(log_level::trace));
        log::debug("now");
        log::set_level(log_level::error);
        log::warning("no more");
        CHECK(file.lines().size() == 1);
    }
}

TEST_CASE("a log file") {
    const log_file file(log_format::text);
    log::info("one");
    SECTION("is appended to when it is opened again") {
        log::open({log_level::info, log_format::json, file.path().string(), true});
        log::info("two");
        REQUIRE(file.lines().size() == 2);
        CHECK(json::parse(file.lines()[1]).at("message") == "two");
        CHECK(log::destinations_shown());
    }
    SECTION("that was renamed is written until it is opened anew") {
        std::filesystem::rename(file.path(), file.path().string() + ".1");
        log::info("two");
        CHECK(file.lines("a.log.1").size() == 2);
        log::reopen();
        log::info("three");
        CHECK(file.lines("a.log.1").size() == 2);
        REQUIRE(file.lines().size() == 1);
        CHECK_THAT(file.lines()[0], contains("three"));
    }
    SECTION("that cannot be opened anew goes on, with a warning") {
        std::filesystem::rename(file.path(), file.path().string() + ".1");
        std::filesystem::create_directory(file.path());
        log::reopen();
        const auto lines = file.lines("a.log.1");
        REQUIRE(lines.size() == 2);
        CHECK_THAT(lines[1], contains(" warning ") && contains("Is a directory"));
    }
    SECTION("that cannot be opened is refused, and nothing changes") {
        const log_settings wrong{log_level::trace, log_format::json, "/nowhere/a.log", true};
        CHECK_THROWS_WITH(log::open(wrong), "log.file: cannot write to \"/nowhere/a.log\": No such "
                                            "file or directory.");
        CHECK_FALSE(log::enabled(log_level::trace));
        CHECK_FALSE(log::destinations_shown());
        log::info("two");
        CHECK(file.lines().size() == 2);
    }
    SECTION("that is a FIFO without a reader is refused at once") {
        const auto fifo = file.path().string() + ".fifo";
        REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
        CHECK_THROWS_WITH(log::open({log_level::info, log_format::text, fifo, false}),
                          contains("it is a FIFO that nobody reads"));
    }
    SECTION("is not for everyone to read") {
        const auto permissions = std::filesystem::status(file.path()).permissions();
        CHECK((permissions & std::filesystem::perms::others_all) == std::filesystem::perms::none);
    }
}

TEST_CASE("lines of several threads do not mix, and none is lost when the file is opened anew") {
    const log_file file(log_format::text);
    constexpr int count = 500;
    const auto work = [](char name) {
        for (int i = 0; i < count; ++i) {
            log::info("{}", std::string(200, name));
        }
    };
    std::thread first(work, 'a');
    std::thread second(work, 'b');
    for (int i = 0; i < 20; ++i) {
        log::reopen();
    }
    first.join();
    second.join();
    const auto lines = file.lines();
    CHECK(lines.size() == 2 * count);
    const auto is_mixed = [](const std::string& line) {
        return line.size() != 238 || line.find_first_not_of(line[38], 38) != std::string::npos;
    };
    CHECK(std::none_of(lines.begin(), lines.end(), is_mixed));
}

TEST_CASE("while form and place of lines change, each goes to where its form belongs") {
    const log_file file(log_format::text);
    const auto other = file.path().parent_path() / "b.log";
    std::atomic<bool> over{false};
    std::atomic<int> said{0};
    std::thread busy([&] {
        for (; !over; ++said)
            log::info("a line");
    });
    const auto wait_for_lines = [&] {
        for (const int before = said; said < before + 3;)
            std::this_thread::yield();
        REQUIRE(log::flush(std::chrono::seconds(10))); // So that none is dropped.
    };
    for (int i = 0; i < 200; ++i) {
        log::open({log_level::info, log_format::json, other.string(), false});
        wait_for_lines();
        log::open({log_level::info, log_format::text, file.path().string(), false});
        wait_for_lines();
    }
    over = true;
    busy.join();
    const auto is_json = [](const std::string& line) { return line.starts_with('{'); };
    const auto texts = file.lines();
    const auto documents = file.lines("b.log");
    CHECK_FALSE(texts.empty());
    CHECK_FALSE(documents.empty());
    CHECK(std::none_of(texts.begin(), texts.end(), is_json));
    CHECK(std::all_of(documents.begin(), documents.end(), is_json));
}

TEST_CASE("lines of a kind that repeats are written five times, then counted") {
    const log_file file(log_format::text);
    for (int i = 0; i < 342; ++i)
        log::info(log::kind{"knocks", "1.2.3.4"}, "knock {}", i);
    const auto lines = file.lines();
    REQUIRE(lines.size() == 6);
    CHECK(lines[4].substr(29) == " info    knock 4");
    CHECK(lines[5].substr(29) ==
          " info    knocks of 1.2.3.4: 337 more like this in the last minute");
    SECTION("and at debug none is left out") {
        log::set_level(log_level::debug);
        for (int i = 0; i < 7; ++i)
            log::info(log::kind{"knocks"}, "tock {}", i);
        const auto all = file.lines();
        CHECK(std::count_if(all.begin(), all.end(), [](const std::string& line) {
                  return line.find("tock") != std::string::npos;
              }) == 7);
        CHECK_THAT(all[11], contains(" debug   tock 5"));
    }
}

TEST_CASE("text from the wire, escaped") {
    SECTION("is printable ASCII") {
        CHECK(log::escape("example.org") == "example.org");
        CHECK(log::escape(std::string("a\n\0\x1b\x7f\xc3\xa4", 7)) ==
              R"(a\x0a\x00\x1b\x7f\xc3\xa4)");
    }
    SECTION("can be told from what was not escaped") {
        CHECK(log::escape(R"(\x0a")") == R"(\\x0a\")");
    }
    SECTION("is of bounded length") {
        CHECK(log::escape("abcdef", 6) == "abcdef");
        CHECK(log::escape("abcdefg", 6) == "abcdef...");
        CHECK(log::escape(std::string(1000, 'a')).size() == 259);
    }
}
