// An answer on its way goes on in another process: at any byte its passage is saved there.

#include "http/answer_passage.hpp"
#include "tests/catch.hpp"
#include "tests/http/moved.hpp"

using namespace muxsocks;
using namespace muxsocks::http;

namespace {

std::string passed(answer_passage& passage, std::string_view bytes) {
    std::string out;
    while (!bytes.empty() && !passage.complete()) {
        const auto piece = passage.next(bytes);
        REQUIRE_FALSE(passage.fault());
        out += piece.as_they_are ? std::string(bytes.substr(0, piece.used)) : piece.text;
        bytes.remove_prefix(piece.used);
    }
    return out;
}

} // namespace

TEST_CASE("an answer that goes on in another process passes as it would have here") {
    const std::string answers[] = {
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "a;x=\"y\"\r\n0123456789\r\n1\r\nz\r\n0\r\nExpires: never\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"};
    for (const auto& answer : answers) {
        answer_passage here({"GET", true, false, true});
        const auto whole = passed(here, answer);
        for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
            answer_passage first({"GET", true, false, true});
            auto out = passed(first, std::string_view(answer).substr(0, cut));
            auto second = moved(first);
            CHECK(second.begun() == first.begun());
            out += passed(second, std::string_view(answer).substr(cut));
            CHECK(out == whole);
            CHECK(second.complete() == here.complete());
            CHECK(second.upgraded() == here.upgraded());
            CHECK(second.status() == here.status());
            CHECK(second.keeps_application() == here.keeps_application());
            CHECK(second.keeps_server() == here.keeps_server());
            CHECK(second.ends_with_connection() == here.ends_with_connection());
        }
    }
}
