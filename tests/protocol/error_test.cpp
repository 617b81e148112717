#include "protocol/error.hpp"

#include "tests/catch.hpp"

#include <set>

using namespace muxsocks;

TEST_CASE("every error of the protocol has a sentence of its own") {
    std::set<std::string> texts;
    for (int value = 1; value <= static_cast<int>(errc::user_expired); ++value) {
        const std::error_code error = static_cast<errc>(value);
        INFO("error " << value << ": " << error.message());
        CHECK(error.message().size() > 15);
        CHECK(error.message().find("unknown error") == std::string::npos);
        CHECK(error.category() == protocol_category());
        CHECK(texts.insert(error.message()).second);
    }
    CHECK(protocol_category().message(9'999) == "unknown error 9999");
}

TEST_CASE("the code of an RST becomes the error of its stream") {
    CHECK(error_of(reset_code::refused) == errc::stream_refused);
    CHECK(error_of(reset_code::cancelled) == errc::stream_cancelled);
    CHECK(error_of(reset_code::flow_control) == errc::stream_flow_control);
    CHECK(error_of(reset_code::internal) == errc::stream_internal);
    CHECK(error_of(reset_code::shed) == errc::stream_shed);
    CHECK(error_of(reset_code::denied) == errc::stream_denied);
    CHECK(error_of(static_cast<reset_code>(77)) == errc::stream_reset_by_peer);
}
