#include "server/hand_over.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

using namespace muxsocks;
using namespace muxsocks::server;

TEST_CASE("what users have moved, from the process before") {
    const test::temporary_folder folder;
    log::open({log_level::info, log_format::text, (folder.path() / "a.log").string(), false});
    const auto said = [&folder] {
        REQUIRE(log::flush(std::chrono::seconds(10)));
        return folder.read("a.log");
    };
    worker_set<worker> workers;
    taken_sessions all(workers, "/var/lib/usage.json");
    const auto take = [&all](const std::string& text) {
        all.take_program({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    };

    SECTION("is taken over") {
        usage_book::users known;
        known["a"].total.up = 5;
        take(encode(known));
        CHECK(all.take_usage() == known);
        CHECK(said().empty());
    }
    SECTION("is missed aloud where it cannot be read, with the file that stands for it") {
        take("{\"version\": 1, \"us");
        CHECK_FALSE(all.take_usage());
        CHECK_THAT(said(), test::contains("/var/lib/usage.json"));
    }
    log::open({});
}
