#include "client/via_handshake.hpp"

#include "tests/catch.hpp"

#include <string>

namespace muxsocks::client {
namespace {

using kind = via_proxy::kind;

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

const host_port server{"link.example.org", 8443};

bytes_view bytes(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text(const std::vector<std::uint8_t>& from) { return {from.begin(), from.end()}; }

via_proxy proxy_of(kind what, std::string user = "", std::string password = "") {
    return {what, {"192.0.2.1", 3128}, std::move(user), std::move(password)};
}

/// What a proxy's answer leads to, whole and byte by byte.
via_handshake::step answered(const via_proxy& by, const std::string& answer) {
    via_handshake whole(by, server);
    whole.begin();
    const auto made = whole.on_input(bytes(answer));
    via_handshake pieces(by, server);
    pieces.begin();
    std::size_t used = 0;
    for (const auto& each : answer) {
        const auto step = pieces.on_input({reinterpret_cast<const std::uint8_t*>(&each), 1});
        used += step.used;
        if (!step.done && !step.failure) continue;
        CHECK(step.done == made.done);
        CHECK(step.failure.why == made.failure.why);
        if (made.done) CHECK(used == made.used);
        break;
    }
    return made;
}

std::string http_answer(const std::string& status, const std::string& fields = "") {
    return "HTTP/1.1 " + status + "\r\n" + fields + "\r\n";
}

} // namespace

TEST_CASE("CONNECT at an HTTP proxy") {
    const auto by = proxy_of(kind::http);
    CHECK(text(via_handshake(by, server).begin()) ==
          "CONNECT link.example.org:8443 HTTP/1.1\r\nHost: link.example.org:8443\r\n\r\n");
    CHECK(text(via_handshake(by, {"2001:db8::1", 443}).begin())
              .starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"));
    CHECK(contains(text(via_handshake(proxy_of(kind::http, "ann", "s3cret"), server).begin()),
                   "\r\nProxy-Authorization: Basic YW5uOnMzY3JldA==\r\n"));

    SECTION("leaves the server's bytes alone") {
        const auto head = http_answer("200 Connection established", "X: y\r\n");
        const auto made = answered(by, head + "server");
        CHECK(made.done);
        CHECK(made.used == head.size());
    }
    SECTION("takes no notice of an interim answer") {
        via_handshake handshake(by, server);
        handshake.begin();
        const auto first = http_answer("100 Continue");
        const auto both = first + http_answer("200 OK");
        auto made = handshake.on_input(bytes(both));
        CHECK_FALSE(made.done);
        CHECK(made.used == first.size());
        CHECK(handshake.on_input(bytes(both.substr(first.size()))).done);
    }
    SECTION("says what is wrong, with the hop and the cure") {
        struct row {
            std::string answer;
            via_errc why;
            const char* what;
            const char* cure;
        };
        const std::vector<row> rows{
            {http_answer("407 Auth",
                         "Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n"),
             via_errc::login_refused, "asks for a user name", "http://USER@192.0.2.1:3128"},
            {http_answer("407 Auth", "Proxy-Authenticate: NTLM\r\n"), via_errc::login_refused,
             "\"NTLM\"", "cntlm"},
            {http_answer("407 Auth", "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: "
                                     "Digest realm=\"a, Basic b\", basic=x\r\n"),
             via_errc::login_refused, "Negotiate, Digest", "cntlm"},
            {http_answer("407 Auth", "Proxy-Authenticate: Negotiate abc==\r\n"
                                     "X: y\r\nProxy-Authenticate: basic realm=\"x\"\r\n"),
             via_errc::login_refused, "asks for a user name", "http://USER@192.0.2.1:3128"},
            {http_answer("407 Auth", "Proxy-Authenticate: Digest realm=\"a \\\" b\", Basic "
                                     "realm=\"x\"\r\n"),
             via_errc::login_refused, "asks for a user name", "http://USER@192.0.2.1:3128"},
            {http_answer("403 Forbidden"), via_errc::denied, "(HTTP/1.1 403 Forbidden)", "443"},
            {http_answer("502 Bad Gateway"), via_errc::unreachable,
             "cannot connect to link.example.org:8443", "running"},
            {http_answer("400 Bad Request"), via_errc::denied, "answers \"HTTP/1.1 400", "CONNECT"},
            {"SSH-2.0-x\r\n\r\n", via_errc::no_proxy, "192.0.2.1:3128 (via) is no HTTP proxy",
             "scheme"},
            {"\x05\xff", via_errc::no_proxy, "is no HTTP proxy", "scheme"}};
        for (const auto& each : rows) {
            const auto made = answered(by, each.answer);
            INFO(each.answer);
            INFO(made.failure.text());
            CHECK(made.failure.why == each.why);
            CHECK(contains(made.failure.what, each.what));
            CHECK(contains(made.failure.what, "192.0.2.1:3128 (via)"));
            CHECK(contains(made.failure.cure, each.cure));
        }
        const auto made = answered(proxy_of(kind::http, "ann", "s3cret"),
                                   http_answer("407 Auth", "Proxy-Authenticate: Basic\r\n"));
        CHECK(contains(made.failure.what, "does not take the user name and password"));
        CHECK_FALSE(contains(made.failure.text(), "s3cret"));
    }
}

TEST_CASE("the handshake with a SOCKS5 proxy") {
    const std::string request = std::string("\x05\x01\x00\x03\x10", 5) + "link.example.org\x20\xfb";
    const std::string success("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);

    SECTION("without a login") {
        via_handshake handshake(proxy_of(kind::socks5), server);
        CHECK(text(handshake.begin()) == std::string("\x05\x01\x00", 3));
        auto made = handshake.on_input(bytes(std::string("\x05\x00", 2)));
        CHECK(made.used == 2);
        CHECK(text(made.to_send) == request);
        made = handshake.on_input(bytes(success + "server"));
        CHECK(made.done);
        CHECK(made.used == success.size());
    }
    SECTION("with one") {
        via_handshake handshake(proxy_of(kind::socks5, "ann", "s3cret"), server);
        CHECK(text(handshake.begin()) == std::string("\x05\x02\x00\x02", 4));
        CHECK(text(handshake.on_input(bytes("\x05\x02")).to_send) == "\x01\x03"
                                                                     "ann\x06s3cret");
        CHECK(text(handshake.on_input(bytes(std::string("\x01\x00", 2))).to_send) == request);
        for (const char each : success.substr(0, 9))
            CHECK(handshake.on_input({reinterpret_cast<const std::uint8_t*>(&each), 1}).used == 1);
        CHECK(handshake.on_input(bytes(success.substr(9))).done);
    }
    SECTION("says what is wrong") {
        const auto by = proxy_of(kind::socks5);
        CHECK(answered(by, "\x05\xff").failure.why == via_errc::login_refused);
        CHECK(answered(by, "\x05\x02").failure.why == via_errc::login_refused);
        CHECK(answered(by, "HTTP/1.1 400 x\r\n\r\n").failure.why == via_errc::no_proxy);
        via_handshake handshake(proxy_of(kind::socks5, "ann", "wrong"), server);
        handshake.begin();
        handshake.on_input(bytes("\x05\x02"));
        CHECK(handshake.on_input(bytes("\x01\x01")).failure.why == via_errc::login_refused);
    }
    SECTION("says why the proxy could not connect") {
        for (const auto& [rep, why] :
             {std::pair{'\x02', via_errc::denied}, {'\x05', via_errc::unreachable}}) {
            via_handshake handshake(proxy_of(kind::socks5), server);
            handshake.begin();
            handshake.on_input(bytes(std::string("\x05\x00", 2)));
            auto reply = success;
            reply[1] = rep;
            const auto made = handshake.on_input(bytes(reply));
            CHECK(made.failure.why == why);
            CHECK(contains(made.failure.what, "(REP 0"));
        }
    }
}

} // namespace muxsocks::client
