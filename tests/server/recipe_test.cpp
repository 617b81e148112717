/// \file
/// Whom a configuration lets in: the users of a recipe, by version.

#include "server/recipe.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::server;

namespace {

config with_one_user() {
    config settings;
    settings.tls.enabled = false;
    user laptop;
    laptop.name = "laptop";
    laptop.token_sha256.fill(7);
    settings.users.push_back(laptop);
    return settings;
}

} // namespace

TEST_CASE("a recipe with users and without allow_v1") {
    const recipe made(with_one_user());
    SECTION("knows its users") { CHECK(made.find_user("laptop", 2)); }
    SECTION("knows nobody else") { CHECK_FALSE(made.find_user("desktop", 2)); }
    SECTION("lets nobody in without a name") { CHECK_FALSE(made.find_user("", 2)); }
    SECTION("has no user for version 1") { CHECK_FALSE(made.find_user("", 1)); }
}

TEST_CASE("allow_v1 lets in clients of version 1 and nobody else") {
    auto settings = with_one_user();
    settings.allow_v1.push_back({.address = {127}, .prefix = 8, .is_v4 = true});
    const recipe made(settings);
    CHECK(made.find_user("", 1));
    CHECK_FALSE(made.find_user("", 2));
    CHECK(made.find_user("laptop", 2));
}

TEST_CASE("a user's destinations do not drop the general deny") {
    auto settings = with_one_user();
    settings.destinations.deny.push_back(parse_network("198.41.0.0/24").value());
    settings.users[0].destinations.emplace().allow_private = true;
    const recipe made(settings);
    own_addresses own(std::vector<boost::asio::ip::address>{});
    const auto& policy = *made.find_user("laptop", 2)->policy;
    CHECK(policy.refusal(boost::asio::ip::make_address("198.41.0.4"), 443, own));
    CHECK_FALSE(policy.refusal(boost::asio::ip::make_address("10.0.0.1"), 443, own));
}

TEST_CASE("a recipe of a server that is open for everyone") {
    config settings;
    settings.tls.enabled = false;
    settings.open_server = true;
    const recipe made(settings);
    SECTION("lets in who has no name") { CHECK(made.find_user("", 2)); }
    SECTION("has no user for version 1, which allow_v1 alone permits") {
        CHECK_FALSE(made.find_user("", 1));
    }
}

TEST_CASE("what a user may hold is told by what stands for it") {
    auto settings = with_one_user();
    settings.limits.user.streams = 100;
    settings.users[0].limits.streams = 7;
    settings.limits.exempt.push_back(parse_network("10.0.0.0/8").value());
    const recipe made(settings);
    CHECK(made.limits_of("laptop").streams == 7);
    CHECK(made.limits_of("CN=desktop").streams == 100);
    CHECK(made.limits_of("192.0.2.1").streams == 100);
    CHECK(made.limits_of("2001:db8::/64").streams == 100);
    // Behind it there are many.
    CHECK(made.limits_of("10.0.0.1").streams > 1'000'000);
}

TEST_CASE("a session is told of as many streams as some user may have") {
    auto settings = with_one_user();
    settings.users[0].limits.streams = 7;
    SECTION("of those who are listed") { CHECK(recipe(settings).most_streams() == 7); }
    SECTION("or who may come in without a name") {
        settings.allow_v1.push_back({.address = {127}, .prefix = 8, .is_v4 = true});
        settings.limits.user.streams = 50;
        CHECK(recipe(settings).most_streams() == 50);
    }
    SECTION("and no more than one session may have") {
        settings.limits.streams = 3;
        CHECK(recipe(settings).most_streams() == 3);
    }
}
