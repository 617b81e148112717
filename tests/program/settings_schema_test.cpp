#include "protocol/program/settings_schema.hpp"

#include "protocol/program/command_line.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;

TEST_CASE("listening addresses") {
    SECTION("say \"localhost\" for both loopback addresses, of which one may be missing") {
        std::vector<listen_address> addresses{{{"localhost", 1080}, false}};
        expand_listen_addresses(addresses);
        CHECK(addresses ==
              std::vector<listen_address>{{{"127.0.0.1", 1080}, true}, {{"::1", 1080}, true}});
    }
    SECTION("that stand there twice count once, and must work if one of them must") {
        std::vector<listen_address> addresses{
            {{"localhost", 1080}, false}, {{"::1", 1080}, false}, {{"::1", 1080}, false}};
        expand_listen_addresses(addresses);
        CHECK(addresses ==
              std::vector<listen_address>{{{"127.0.0.1", 1080}, true}, {{"::1", 1080}, false}});
    }
    SECTION("with port 0 are each another port") {
        std::vector<listen_address> addresses{{{"::1", 0}, false}, {{"::1", 0}, false}};
        expand_listen_addresses(addresses);
        CHECK(addresses.size() == 2);
    }
}

TEST_CASE("the memory total") {
    memory_settings memory;
    SECTION("is a part of the machine's where none is configured") {
        complete_memory(memory);
        CHECK(memory.total >= 1U << 20);
    }
    SECTION("stays what is configured") {
        memory.total = 5'000'000;
        complete_memory(memory);
        CHECK(memory.total == 5'000'000);
    }
}

TEST_CASE("a congestion control") {
    CHECK(congestion_control_available(""));
    CHECK(congestion_control_available("auto"));
    CHECK(congestion_control_available("reno"));
    CHECK_FALSE(congestion_control_available("no_such_one"));
}

TEST_CASE("a congestion control that the kernel has not is refused with those that it has") {
    const auto read = [](const std::string& text) {
        link_settings link;
        std::vector<std::string> warnings;
        read_config(text, {"f.json", {}}, warnings,
                    [&](config_section& root) { bind_link(root, link, program_role::client); });
        return link;
    };
    CHECK(read(R"({"link": {"congestion": "reno"}})").congestion == "reno");
    CHECK(read(R"({"link": {"congestion": ""}})").congestion.empty());
    CHECK_THROWS_WITH(read(R"({"link": {"congestion": "brr"}})"),
                      test::contains("f.json: link.congestion: the kernel does not let this "
                                     "process use \"brr\"; it has loaded: ") &&
                          test::contains("reno"));
}

TEST_CASE("a level of the log goes by the names that other programs have for it, too") {
    const auto read = [](const std::string& level) {
        log_settings log;
        std::vector<std::string> warnings;
        read_config(R"({"log": {"level": ")" + level + R"("}})", {"f.json", {}}, warnings,
                    [&](config_section& root) { bind_log(root, log); });
        return log.level;
    };
    CHECK(read("warn") == log_level::warning);
    CHECK(read("warning") == log_level::warning);
    CHECK(read("err") == log_level::error);
    CHECK(read("error") == log_level::error);
    CHECK_THROWS_WITH(read("loud"), test::contains("log.level") && test::contains("loud"));
}
