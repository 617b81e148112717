#include "client/via.hpp"

#include "protocol/program/config_error.hpp"
#include "tests/catch.hpp"

#include <map>

namespace muxsocks::client {
namespace {

using kind = via_proxy::kind;

std::optional<via_proxy> parsed(const char* text) {
    std::string hint;
    return parse_via(text, hint);
}

environment_values of(std::map<std::string, std::string> values) {
    return [values = std::move(values)](const char* name) -> std::optional<std::string> {
        const auto found = values.find(name);
        return found == values.end() ? std::nullopt : std::optional(found->second);
    };
}

} // namespace

TEST_CASE("a proxy in `via`") {
    CHECK(parsed("http://proxy.example.org:3128") ==
          via_proxy{kind::http, {"proxy.example.org", 3128}, "", ""});
    CHECK(parsed("http://192.0.2.1/") == via_proxy{kind::http, {"192.0.2.1", 8080}, "", ""});
    CHECK(parsed("proxy:81") == via_proxy{kind::http, {"proxy", 81}, "", ""});
    CHECK(parsed("socks5://[2001:db8::1]") ==
          via_proxy{kind::socks5, {"2001:db8::1", 1080}, "", ""});
    CHECK(parsed("socks5h://ann:s3cret@proxy:1") ==
          via_proxy{kind::socks5, {"proxy", 1}, "ann", "s3cret"});
    CHECK(parsed("http://a%40b:p%3a%25@proxy:1") ==
          via_proxy{kind::http, {"proxy", 1}, "a@b", "p:%"});
    CHECK(parsed("http://ann@proxy:1") == via_proxy{kind::http, {"proxy", 1}, "ann", ""});
    for (const auto* text :
         {"", "http://", "https://proxy:1", "ftp://proxy", "http://:1", "proxy:0",
          "http://proxy:1/path", "http://@proxy", "http://a%4@proxy", "http://a b"}) {
        INFO(text);
        CHECK_FALSE(parsed(text).has_value());
    }
    CHECK(to_string(*parsed("http://ann:s3cret@proxy:1")) == "http://proxy:1");
}

TEST_CASE("the proxy of the environment") {
    const host_port server{"link.example.org", 8443};
    const via_proxy http{kind::http, {"proxy", 3128}, "", ""};
    CHECK_FALSE(via_of_environment(server, of({})).has_value());
    CHECK_FALSE(
        via_of_environment(server, of({{"https_proxy", ""}, {"http_proxy", "http://proxy"}})));
    CHECK(via_of_environment(server, of({{"https_proxy", "http://proxy:3128"}})) == http);
    CHECK(via_of_environment(server, of({{"ALL_PROXY", "socks5h://other"},
                                         {"HTTPS_PROXY", "proxy:3128"}})) == http);
    CHECK(via_of_environment(server, of({{"ALL_PROXY", "socks5h://proxy"}})) ==
          via_proxy{kind::socks5, {"proxy", 1080}, "", ""});
    CHECK_THROWS_AS(via_of_environment(server, of({{"https_proxy", "https://proxy"}})),
                    config_error);

    SECTION("is not used for what no_proxy names") {
        for (const auto* list : {"*", "example.org", ".example.org", "*.example.org",
                                 "a,link.EXAMPLE.org.,b", "a, link.example.org:8443"}) {
            INFO(list);
            CHECK_FALSE(
                via_of_environment(server, of({{"https_proxy", "proxy"}, {"no_proxy", list}})));
        }
        for (const auto* list :
             {"", "ample.org", "link.example.org:443", "org.example", "10.0.0.0/8", ",,"}) {
            INFO(list);
            CHECK(via_of_environment(server, of({{"https_proxy", "proxy"}, {"no_proxy", list}}))
                      .has_value());
        }
        const host_port address{"10.1.2.3", 443};
        for (const auto* list : {"10.0.0.0/8", "10.1.2.3", "10.1.2.3:443"}) {
            INFO(list);
            CHECK_FALSE(
                via_of_environment(address, of({{"https_proxy", "proxy"}, {"NO_PROXY", list}})));
        }
        CHECK(via_of_environment(address, of({{"https_proxy", "proxy"}, {"NO_PROXY", "3,.3"}}))
                  .has_value());
    }
}

} // namespace muxsocks::client
