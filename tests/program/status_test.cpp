#include "protocol/program/status_answer.hpp"
#include "protocol/program/status_json.hpp"
#include "protocol/program/status_page.hpp"
#include "protocol/program/status_text.hpp"

#include "protocol/error.hpp"
#include "protocol/link/tls/link_error.hpp"
#include "protocol/program/secret.hpp"
#include "tests/catch.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace muxsocks;
using nlohmann::json;

namespace {

constexpr const char* token = "Zq8wT3nB5kLm7RxYc2VdHs";

snapshot with_one_session() {
    snapshot now;
    now.all = {1, 0, 0, 1, 2, 4096, {0.02F}};
    now.ready = true;
    session_snapshot session;
    session.name = "anna@192.0.2.7";
    session.user = "anna";
    session.state = "attached";
    session.streams = 2;
    session.bytes_up = 1500;
    session.rtt_seconds = 0.02;
    link_snapshot link;
    link.roles = "all";
    link.peer = "192.0.2.7:5000";
    link.tls = "TLSv1.3";
    link.rtt_seconds = 0.02;
    link.sent_packets = 1200;
    link.retransmits = 3;
    session.links.push_back(link);
    now.sessions.push_back(session);
    now.users["anna"] = {1, 2, 1500, 7};
    return now;
}

process_facts server_facts() {
    process_facts facts;
    facts.role = program_role::server;
    return facts;
}

/// Answers at once, with what it is given.
struct fixed_source final : status_source {
    void show(const snapshot_request& request, std::function<void(snapshot)> then) override {
        asked = request;
        ++shown;
        then(now);
    }
    process_facts facts() const override { return server_facts(); }
    void kick(const std::string& user, std::function<void(std::size_t)> then) override {
        kicked = user;
        then(3);
    }

    snapshot now = with_one_session();
    snapshot_request asked;
    int shown = 0;
    std::string kicked;
};

status_answer answer_to(fixed_source& source, const status_question& asked) {
    status_answer found;
    answer(asked, source, [&](status_answer made) { found = std::move(made); });
    return found;
}

status_question over_tcp(const std::string& host) {
    status_question asked;
    asked.method = "GET";
    asked.target = "/metrics";
    asked.host = host;
    return asked;
}

unsigned status_of(const std::optional<status_answer>& refused) {
    return refused ? refused->status : 200;
}

} // namespace

TEST_CASE("ends are called by few words") {
    CHECK(to_string(link_end_of(link_errc::connection_cut)) == "eof");
    CHECK(to_string(link_end_of(errc::keepalive_timeout)) == "keepalive");
    CHECK(to_string(link_end_of(link_errc::pin_mismatch)) == "tls");
    CHECK(to_string(link_end_of(std::make_error_code(std::errc::connection_reset))) == "reset");
    CHECK(to_string(link_end_of({})) == "closed");
    CHECK(to_string(stream_end_of({})) == "fin");
    CHECK(to_string(stream_end_of(errc::stream_shed)) == "shed");
    CHECK(to_string(stream_end_of(errc::link_lost)) == "session");
    CHECK(to_string(stream_end_of(std::make_error_code(std::errc::connection_reset))) == "local");
}

TEST_CASE("a histogram counts a time at the first bound that is not below it") {
    time_histogram times;
    times.add(std::chrono::milliseconds(1));
    times.add(std::chrono::milliseconds(2));
    times.add(std::chrono::hours(2));
    CHECK(times.counts[0] == 1);
    CHECK(times.counts[1] == 1);
    CHECK(times.counts.back() == 1);
    CHECK(times.seconds > 7200);
}

TEST_CASE("metrics") {
    auto now = with_one_session();
    now.users["a \"quoted\\\" name\n"] = {};
    const auto text = metrics_text(server_facts(), now);
    const auto has = [&](const std::string& line) {
        return text.find("\n" + line + "\n") != std::string::npos;
    };
    CHECK(has("muxsocks_links{state=\"up\"} 1"));
    CHECK(has("muxsocks_user_bytes_total{user=\"anna\",direction=\"up\"} 1500"));
    CHECK(has("muxsocks_user_streams{user=\"a \\\"quoted\\\\\\\" name\\n\"} 0"));
    SECTION("are there before anything happens") {
        CHECK(has("muxsocks_link_lost_total{reason=\"keepalive\"} 0"));
        CHECK(has("muxsocks_stream_ended_total{reason=\"flow\"} 0"));
        CHECK(has("muxsocks_link_handshake_seconds_bucket{le=\"+Inf\"} 0"));
    }
    SECTION("of a histogram are cumulative") {
        now.counted.handshakes.add(std::chrono::milliseconds(2));
        now.counted.handshakes.add(std::chrono::milliseconds(40));
        const auto later = metrics_text(server_facts(), now);
        CHECK(later.find("seconds_bucket{le=\"0.0025\"} 1\n") != std::string::npos);
        CHECK(later.find("handshake_seconds_bucket{le=\"0.05\"} 2\n") != std::string::npos);
        CHECK(later.find("muxsocks_link_handshake_seconds_count 2\n") != std::string::npos);
    }
    SECTION("of users are the server's only") {
        process_facts client;
        CHECK(metrics_text(client, now).find("muxsocks_user_") == std::string::npos);
    }
}

TEST_CASE("parts of a snapshot are added") {
    auto sum = with_one_session();
    auto part = with_one_session();
    part.streams.push_back({7, 1, "one", "", 5, 0, 1});
    part.streams.push_back({9, 1, "one", "", 50, 0, 1});
    sum += std::move(part);
    sum.keep({snapshot_request::all, 1});
    CHECK(sum.sessions.size() == 2);
    CHECK(sum.all.streams == 4);
    CHECK(sum.users["anna"].bytes_up == 3000);
    REQUIRE(sum.streams.size() == 1);
    CHECK(sum.streams[0].id == 9);
}

TEST_CASE("of many sessions those with most streams are kept, in the order of their ids") {
    snapshot now;
    for (const std::uint64_t streams : {3, 9, 0, 5, 7}) {
        auto& session = now.sessions.emplace_back();
        session.id = now.sessions.size();
        session.streams = streams;
    }
    now.keep({3, 0});
    REQUIRE(now.sessions.size() == 3);
    CHECK(now.sessions[0].streams == 9);
    CHECK(now.sessions[1].streams == 5);
    CHECK(now.sessions[2].streams == 7);
}

TEST_CASE("the heaviest of many are kept") {
    heaviest<int> kept(3);
    for (const int each : {5, 1, 9, 3, 7, 2})
        if (kept.wants(static_cast<std::uint64_t>(each)))
            kept.add(static_cast<std::uint64_t>(each), each);
    auto found = kept.take();
    std::sort(found.begin(), found.end());
    CHECK(found == std::vector{5, 7, 9});
    CHECK_FALSE(heaviest<int>(0).wants(1));
}

TEST_CASE("over TCP") {
    status_settings settings;
    CHECK(status_of(refuse(over_tcp("127.0.0.1:9180"), settings)) == 200);
    CHECK(status_of(refuse(over_tcp("[::1]:9180"), settings)) == 200);
    CHECK(status_of(refuse(over_tcp("LOCALHOST"), settings)) == 200);
    SECTION("names of others are refused") {
        CHECK(status_of(refuse(over_tcp("evil.example"), settings)) == 403);
        CHECK(status_of(refuse(over_tcp(""), settings)) == 403);
        CHECK(status_of(refuse(over_tcp("localhost.evil.example"), settings)) == 403);
        settings.names = {"status.example"};
        CHECK(status_of(refuse(over_tcp("status.example:9180"), settings)) == 200);
    }
    SECTION("nothing is changed") {
        auto asked = over_tcp("localhost");
        asked.method = "POST";
        CHECK(status_of(refuse(asked, settings)) == 405);
    }
    SECTION("a token is asked for where there is one") {
        settings.token = token_digest(token);
        auto asked = over_tcp("localhost");
        CHECK(status_of(refuse(asked, settings)) == 401);
        asked.authorization = std::string("Bearer ") + token;
        CHECK(status_of(refuse(asked, settings)) == 200);
        asked.authorization = "Basic bWU6WnE4d1QzbkI1a0xtN1J4WWMyVmRIcw=="; // me:TOKEN
        CHECK(status_of(refuse(asked, settings)) == 200);
        asked.authorization = "Bearer Zq8wT3nB5kLm7RxYc2VdHt";
        CHECK(status_of(refuse(asked, settings)) == 401);
    }
}

TEST_CASE("over a unix socket a user of one's own may end sessions") {
    fixed_source source;
    status_question asked;
    asked.method = "POST";
    asked.target = "/v1/users/an%20na/kick";
    asked.local = asked.own_user = true;
    CHECK(answer_to(source, asked).status == 200);
    CHECK(source.kicked == "an na");
    SECTION("and nobody else") {
        source.kicked.clear();
        asked.own_user = false;
        CHECK(answer_to(source, asked).status == 403);
        CHECK(source.kicked.empty());
    }
}

TEST_CASE("documents") {
    fixed_source source;
    auto asked = over_tcp("localhost");
    const auto document = [&](const char* target) {
        asked.target = target;
        return json::parse(answer_to(source, asked).body);
    };
    CHECK(document("/v1/status").at("sessions").at(0).at("user") == "anna");
    CHECK(document("/v1/links").at("links").at(0).at("session") == "anna@192.0.2.7");
    CHECK(document("/v1/users").at("users").at(0).at("bytes_up") == 1500);
    SECTION("that there are not are looked for nowhere") {
        const auto before = source.shown;
        CHECK(document("/v1/nothing").contains("error"));
        CHECK(source.shown == before);
    }
    SECTION("of what users have moved are made for who asks for them") {
        CHECK_FALSE(source.asked.usage);
        CHECK(document("/v1/usage").contains("error"));
        CHECK(source.asked.usage);
        source.now.accounting = true;
        source.now.usage["anna"].total_up = 5;
        CHECK(document("/v1/usage").at("users").at(0).at("total_up") == 5);
    }
    SECTION("of streams are as long as was asked for") {
        (void)document("/v1/streams");
        CHECK(source.asked.streams == 20);
        (void)document("/v1/streams?limit=3");
        CHECK(source.asked.streams == 3);
    }
    SECTION("of who watches are bounded") {
        for (int i = 0; i < 200; ++i)
            source.now.users["user" + std::to_string(i)].streams = static_cast<std::uint64_t>(i);
        std::string text;
        live_answer(source, [&](const std::string& made) { text = made; });
        CHECK(source.asked.sessions == sessions_live);
        const auto live = json::parse(text);
        CHECK(live.at("user_count") == 201);
        REQUIRE(live.at("users").size() == 100);
        CHECK(live.at("users").at(0).at("name") == "user100");
    }
    SECTION("tell limits of users where there are any") {
        CHECK(document("/v1/users").at("users").at(0).at("limits").empty());
        source.now.users["anna"].streams_max = 50;
        CHECK(document("/v1/users").at("users").at(0).at("limits").at("streams") == 50);
    }
    SECTION("tell how many links were lost, by reason") {
        source.now.counted.on_link_lost(errc::keepalive_timeout);
        const auto lost = document("/v1/status").at("totals").at("links_lost");
        CHECK(lost.at("keepalive") == 1);
        CHECK(lost.at("reset") == 0);
    }
    SECTION("survive names that are no UTF-8") {
        source.now.sessions[0].name = "\xff";
        CHECK(document("/v1/sessions").at("sessions").at(0).at("name") == "\xef\xbf\xbd");
    }
    SECTION("are text in a terminal") {
        asked.target = "/v1/status";
        const auto text = status_text("status", answer_to(source, asked).body, false);
        CHECK(text.find("anna@192.0.2.7  attached  20.0 ms") != std::string::npos);
        CHECK(text.find('\x1b') == std::string::npos);
        CHECK_THROWS_AS(status_text("status", "[]", false), std::runtime_error);
    }
}

TEST_CASE("a client that is not ready says so") {
    fixed_source source;
    auto asked = over_tcp("localhost");
    asked.target = "/readyz";
    CHECK(answer_to(source, asked).status == 200);
    CHECK(source.asked.sessions == 0);
    source.now.ready = false;
    CHECK(answer_to(source, asked).status == 503);
}

TEST_CASE("the page names nothing elsewhere") {
    for (const char* path : {"/", "/status.css", "/status.js"}) {
        REQUIRE(find_page(path));
        CHECK(find_page(path)->text.find("http") == std::string_view::npos);
    }
    CHECK_FALSE(find_page("/other"));
}
