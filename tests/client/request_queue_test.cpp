#include "client/request_queue.hpp"

#include "tests/catch.hpp"

#include <optional>

using namespace muxsocks;
using namespace muxsocks::client;
using namespace std::chrono_literals;

namespace {

/// A request without an application.
struct scripted final : pending_request {
    void begin(driver_ptr, request_sink&) override {}
    void refuse(const refusal& why) override { refused = why.text; }
    void watch(std::function<void()> gone) override { leave = std::move(gone); }

    std::string refused{};
    std::function<void()> leave{};
};

using scripted_ptr = boost::intrusive_ptr<scripted>;

scripted_ptr make(instant give_up = {}) {
    scripted_ptr made(new scripted);
    made->give_up = give_up;
    return made;
}

const auto nowhere = [](const request_ptr&) { return false; };

} // namespace

TEST_CASE("requests that wait for a link") {
    request_queue queue;
    std::vector<scripted_ptr> all{make(), make(), make()};
    for (const auto& each : all)
        queue.push(each);
    std::vector<request_ptr> asked;

    SECTION("are served in the order in which they came") {
        queue.serve([&](const request_ptr& each) {
            asked.push_back(each);
            return true;
        });
        CHECK(asked == std::vector<request_ptr>(all.begin(), all.end()));
        CHECK(queue.empty());
    }
    SECTION("wait on where there is no place, and nobody behind the first is asked") {
        queue.serve([&](const request_ptr& each) {
            asked.push_back(each);
            return false;
        });
        CHECK(asked == std::vector<request_ptr>{all[0]});
        CHECK_FALSE(queue.empty());
    }
    SECTION("let others pass where only they were refused") {
        all[0]->refused_by.push_back({});
        queue.serve([&](const request_ptr& each) { return each != request_ptr(all[0]); });
        queue.refuse_all(refusals::no_link);
        CHECK(all[0]->refused == refusals::no_link.text);
        CHECK(all[1]->refused.empty());
        CHECK(all[2]->refused.empty());
    }
    SECTION("are forgotten when their application leaves") {
        all[1]->leave();
        queue.refuse_all(refusals::stopping);
        CHECK(all[0]->refused == refusals::stopping.text);
        CHECK(all[1]->refused.empty());
    }
    SECTION("may be joined by more while they are served") {
        const auto late = make();
        int served = 0;
        queue.serve([&](const request_ptr&) {
            if (++served == 1) queue.push(late);
            queue.serve(nowhere);
            return true;
        });
        CHECK(served == 4);
        CHECK(queue.empty());
    }
}

TEST_CASE("a request that has waited long enough is refused, and those with more time are not") {
    const instant now{100s};
    request_queue queue;
    const auto due = make(now);
    const auto early = make(now + 1ms);
    queue.push(early);
    queue.push(due);
    int told = 0;
    queue.expire(now, refusals::no_link, [&] { ++told; });
    CHECK(told == 1);
    CHECK(due->refused == refusals::no_link.text);
    CHECK(early->refused.empty());
    CHECK_FALSE(queue.empty());
}
