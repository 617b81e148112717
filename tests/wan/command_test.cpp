#include "tests/tools/wan/command.hpp"

#include "tests/catch.hpp"

#include <chrono>
#include <string>

using namespace muxsocks::tools;
using namespace std::chrono_literals;

namespace {

struct told {
    wan carried{1};
    wan_commands commands{carried};
    std::string answer;

    told& tell(const char* line) {
        answer = commands.execute(line, time_point(1h));
        return *this;
    }
    path_settings& up() { return carried.from(side::near).settings; }
    path_settings& down() { return carried.from(side::far).settings; }
};

} // namespace

TEST_CASE("a command of the WAN") {
    told wan;
    SECTION("holds for both directions unless it names one") {
        wan.tell("delay 50ms");
        CHECK(wan.answer == "ok");
        CHECK(wan.up().delay == 50ms);
        CHECK(wan.down().delay == 50ms);
        wan.tell("delay down 10ms").tell("rate up 9kbit");
        CHECK(wan.up().delay == 50ms);
        CHECK(wan.down().delay == 10ms);
        CHECK(wan.up().bytes_per_second == 1125);
        CHECK(wan.down().bytes_per_second == 0);
    }
    SECTION("takes percentages with and without their sign") {
        CHECK(wan.tell("loss 2").up().loss == 0.02);
        CHECK(wan.tell("loss 0.5%").up().loss == 0.005);
        CHECK(wan.tell("loss off").up().loss == 0);
    }
    SECTION("sets bursts by their share and their length") {
        wan.tell("burst 50 4");
        CHECK(wan.up().burst.leave == 0.25);
        CHECK(wan.up().burst.enter == 0.25);
        CHECK(wan.tell("burst off").up().burst.enter == 0);
    }
    SECTION("sets what is reordered") {
        wan.tell("reorder 1 20ms");
        CHECK(wan.up().reorder == 0.01);
        CHECK(wan.up().reorder_by == 20ms);
    }
    SECTION("sets an MTU, told or not") {
        CHECK(wan.tell("mtu up 1300").up().mtu == 1300);
        CHECK_FALSE(wan.up().mtu_is_told);
        CHECK(wan.down().mtu == 0);
        CHECK(wan.tell("mtu 1280 told").up().mtu_is_told);
        CHECK(wan.tell("mtu off").up().mtu == 0);
        CHECK_FALSE(wan.up().mtu_is_told);
    }
    SECTION("makes a queue of one bandwidth-delay product, in whatever order it hears of both") {
        wan.tell("rate 100mbit").tell("delay 50ms");
        CHECK(wan.up().queue_bytes == 1'250'000);
        wan.tell("queue up 64KiB").tell("rate 50mbit");
        CHECK(wan.up().queue_bytes == 65536);
        CHECK(wan.down().queue_bytes == 625'000);
        CHECK(wan.tell("queue auto").up().queue_bytes == 625'000);
        CHECK(wan.tell("rate 9kbit").up().queue_bytes == 15'000);
    }
    SECTION("blacks out") {
        const time_point now(1h);
        const auto lost_at = [&](time_point when) {
            auto& way = wan.carried.from(side::near);
            const auto before = way.counts().blacked_out;
            auto fresh = wan.carried.pool().take();
            fresh->size = 100;
            way.on_packet(std::move(fresh), when);
            return way.counts().blacked_out > before;
        };
        wan.tell("blackout 5s");
        CHECK(lost_at(now + 5s - 1ms));
        CHECK_FALSE(lost_at(now + 5s));
        wan.tell("blackout on");
        CHECK(lost_at(now + 10h));
        wan.tell("blackout off");
        CHECK_FALSE(lost_at(now + 10h));
    }
    SECTION("translates, and forgets") {
        wan.tell("translate near 10.77.0.1 192.0.2.1").tell("translate near 10.77.0.1 192.0.2.2");
        REQUIRE(wan.carried.translations.size() == 1);
        CHECK(wan.carried.translations[0].seen == parse_ip_address("192.0.2.2"));
        CHECK(wan.tell("translate off").carried.translations.empty());
    }
    SECTION("may be empty or a comment") {
        CHECK(wan.tell("").answer == "ok");
        CHECK(wan.tell("  # nothing").answer == "ok");
    }
    SECTION("ends the program") {
        CHECK_FALSE(wan.commands.quit());
        wan.tell("quit");
        CHECK(wan.commands.quit());
    }
    SECTION("that is wrong says so and changes nothing") {
        const char* const wrong = GENERATE(
            "delay", "delay up", "delay 50", "delay -1ms", "delay 1ms 2ms", "loss 101", "loss x",
            "loss nan", "burst 1", "burst 1 0", "burst 1 2 3", "reorder 1", "mtu 20", "mtu 9000",
            "mtu 1300 aloud", "mtu 1300.5x", "blackout 5", "fog 3", "queue big", "rate fast",
            "translate near 10.77.0.1", "translate near 10.77.0.1 fd77::1",
            "translate middle 10.77.0.1 10.77.0.2", "translate near 10.77.0.1 host");
        wan.tell(wrong);
        CHECK(wan.answer.starts_with("error: "));
        CHECK(wan.up().delay == duration{});
        CHECK(wan.up().loss == 0);
        CHECK(wan.up().mtu == 0);
        CHECK(wan.carried.translations.empty());
    }
}
