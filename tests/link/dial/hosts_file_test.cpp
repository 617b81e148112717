#include "protocol/link/dial/hosts_file.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <thread>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

std::vector<std::string> found(hosts_file& hosts, std::string_view name) {
    std::vector<std::string> texts;
    for (const auto& address : hosts.find(name))
        texts.push_back(address.to_string());
    return texts;
}

using texts = std::vector<std::string>;

} // namespace

TEST_CASE("the host table") {
    temporary_file file("# a comment\n"
                        "127.0.0.1\tlocalhost loopback # names\n"
                        "::1 localhost\r\n"
                        "  192.0.2.7   WWW.Example.org.  www\n"
                        "::ffff:192.0.2.8 mapped\n"
                        "no-address here\n"
                        "192.0.2.9\n"
                        "192.0.2.10 last");
    hosts_file hosts(file.path());

    SECTION("gives all addresses of a name, in order") {
        CHECK(found(hosts, "localhost") == texts{"127.0.0.1", "::1"});
        CHECK(found(hosts, "www") == texts{"192.0.2.7"});
        CHECK(found(hosts, "last") == texts{"192.0.2.10"});
    }
    SECTION("does not care for case and the final dot") {
        CHECK(found(hosts, "www.EXAMPLE.org") == texts{"192.0.2.7"});
        CHECK(found(hosts, "LAST.") == texts{"192.0.2.10"});
    }
    SECTION("has IPv4-mapped addresses as IPv4") {
        CHECK(found(hosts, "mapped") == texts{"192.0.2.8"});
    }
    SECTION("leaves out what is no address, comments and unknown names") {
        CHECK(found(hosts, "here").empty());
        CHECK(found(hosts, "names").empty());
        CHECK(found(hosts, "unknown").empty());
    }
    SECTION("is read again when the file has changed") {
        CHECK(found(hosts, "last") == texts{"192.0.2.10"});
        file.write("192.0.2.11 last\n");
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (found(hosts, "last") != texts{"192.0.2.11"} &&
               std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        CHECK(found(hosts, "last") == texts{"192.0.2.11"});
        CHECK(found(hosts, "www").empty());
    }
    SECTION("is empty without a file") {
        hosts_file missing("/nonexistent/hosts");
        CHECK(found(missing, "localhost").empty());
    }
}
