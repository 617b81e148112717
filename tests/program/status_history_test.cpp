#include "protocol/program/status_history.hpp"
#include "protocol/program/status_json.hpp"

#include "tests/catch.hpp"

#include <nlohmann/json.hpp>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr status_history::time_point begin{};

/// One session with one link, that has sent and received so much.
snapshot with_a_link(std::uint64_t sent, std::uint64_t received, double age) {
    snapshot now;
    now.counted.sessions.bytes_sent = sent;
    now.counted.sessions.bytes_received = received;
    auto& session = now.sessions.emplace_back();
    session.id = 7;
    auto& link = session.links.emplace_back();
    link.number = 3;
    link.bytes_sent = sent;
    link.bytes_received = received;
    link.sent_packets = sent / 100;
    link.retransmits = sent / 1000;
    link.age_seconds = age;
    return now;
}

} // namespace

TEST_CASE("the history of a link") {
    status_history past;
    past.add(program_role::client, with_a_link(50'000, 0, 100), begin);
    SECTION("begins with the second look, as nothing is known before the first") {
        CHECK(past.links().begin()->second.empty());
        CHECK(past.traffic().empty());
        const auto shown = nlohmann::json::parse(status_json::history(past));
        for (const auto* name : {"sent_per_second", "received_per_second", "rtt_seconds",
                                 "sent_packets", "retransmits"})
            CHECK(shown.at("links").at(0).at(name) == nlohmann::json::array());
    }
    past.add(program_role::client, with_a_link(60'000, 2'000, 110), begin + 10s);
    SECTION("has what went a second") {
        const auto links = past.links();
        REQUIRE(links.size() == 1);
        CHECK(links.begin()->first == status_history::link_id{7, 3});
        const auto& step = links.begin()->second.back();
        CHECK(step.sent == 1'000);
        CHECK(step.received == 200);
        CHECK(step.packets == 100);
        CHECK(step.retransmits == 10);
        CHECK(past.traffic().back().up == 1'000);
        CHECK(past.traffic().back().down == 200);
    }
    SECTION("is no longer than ten minutes") {
        for (int i = 2; i < 100; ++i)
            past.add(program_role::client, with_a_link(60'000, 2'000, 200), begin + i * 10s);
        CHECK(past.links().begin()->second.size() == status_history::steps_max);
        CHECK(past.traffic().size() == status_history::steps_max);
    }
    SECTION("ends with the link") {
        past.add(program_role::client, {}, begin + 20s);
        CHECK(past.links().empty());
        CHECK(past.traffic().size() == 2);
    }
    SECTION("never falls below nothing") {
        past.add(program_role::client, with_a_link(10, 10, 120), begin + 20s);
        CHECK(past.links().begin()->second.back().sent == 0);
        CHECK(past.traffic().back().up == 0);
    }
}

TEST_CASE("a link that came up since the last look has all that it has carried in one step") {
    status_history past;
    past.add(program_role::client, {}, begin);
    past.add(program_role::client, with_a_link(5'000, 0, 4), begin + 10s);
    CHECK(past.links().begin()->second.back().sent == 500);
}

TEST_CASE("up is what a server receives") {
    status_history past;
    past.add(program_role::server, with_a_link(0, 0, 1), begin);
    past.add(program_role::server, with_a_link(1'000, 30'000, 1), begin + 10s);
    CHECK(past.traffic().back().up == 3'000);
    CHECK(past.traffic().back().down == 100);
}

TEST_CASE("the history as a document") {
    status_history past;
    past.add(program_role::client, with_a_link(0, 0, 1), begin);
    past.add(program_role::client, with_a_link(1'000, 0, 11), begin + 10s);
    const auto document = nlohmann::json::parse(status_json::history(past));
    CHECK(document.at("version") == 1);
    CHECK(document.at("interval_seconds") == 10);
    CHECK(document.at("up_per_second").at(0) == 100);
    const auto& link = document.at("links").at(0);
    CHECK(link.at("session_id") == 7);
    CHECK(link.at("sent_per_second") == nlohmann::json::parse("[100]"));
    CHECK(link.at("rtt_seconds").size() == 1);
}
