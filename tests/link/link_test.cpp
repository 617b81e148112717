#include "protocol/link/link.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <vector>

using namespace muxsocks;
using muxsocks::test::run_ready;
using muxsocks::test::run_until;

namespace {

/// A plain link over loopback, whose owner takes all and answers with as much as it is told to.
struct fixture : muxsocks::link::owner {
    memory_budget budget{100'000'000};
    link_thread thread{budget};
    test::listener listener{thread.context(), "127.0.0.1"};
    tcp_socket peer{thread.context().get_executor()};
    link_ptr one;
    std::vector<std::size_t> pieces;
    std::size_t answer = 0;

    fixture() {
        peer.connect(listener.endpoint());
        REQUIRE(run_until(thread.context(), [&] { return listener.accepted().size() == 1; }));
        one = new muxsocks::link(thread, std::move(listener.accepted().front()), std::nullopt);
    }
    ~fixture() {
        one->abort();
        run_ready(thread.context());
    }
    void on_link_up(muxsocks::link&) override {}
    std::size_t on_link_bytes(muxsocks::link& from, bytes_view bytes) override {
        pieces.push_back(bytes.size());
        from.send(std::vector<std::uint8_t>(answer));
        from.flush();
        return bytes.size();
    }
    void on_link_writable(muxsocks::link&) override {}
    void on_link_down(muxsocks::link&, std::error_code, const std::string&) override {}

    std::size_t received() const {
        std::size_t all = 0;
        for (const auto piece : pieces)
            all += piece;
        return all;
    }
    void send(std::size_t size) {
        const std::vector<std::uint8_t> bytes(size);
        boost::asio::write(peer, boost::asio::buffer(bytes));
    }
    bool get(std::size_t size) {
        return run_until(thread.context(), [&] { return received() >= size; });
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a link that is not trusted") {
    one->set_trusted(false);

    SECTION("reads little at a time") {
        send(100'000);
        one->start(*this);
        REQUIRE(get(100'000));
        CHECK(*std::max_element(pieces.begin(), pieces.end()) <= 16 * 1024);
    }
    SECTION("reads nothing while much of what it provoked waits, and goes on behind it") {
        answer = 8 * 1024 * 1024;
        send(40'000);
        one->start(*this);
        for (int i = 0; i < 20; ++i)
            run_ready(thread.context());
        CHECK(pieces.size() == 1);
        answer = 0;
        std::vector<std::uint8_t> taken(1'000'000);
        peer.non_blocking(true);
        CHECK(run_until(thread.context(), [&] {
            boost::system::error_code error;
            peer.read_some(boost::asio::buffer(taken), error);
            return received() == 40'000;
        }));
    }
}

TEST_CASE_METHOD(fixture, "a link that is trusted") {
    SECTION("reads all that there is") {
        send(100'000);
        one->set_trusted(false);
        one->set_trusted(true);
        one->start(*this);
        REQUIRE(get(100'000));
        CHECK(*std::max_element(pieces.begin(), pieces.end()) > 16 * 1024);
    }
    SECTION("reads whatever waits to be sent") {
        answer = 8 * 1024 * 1024;
        send(10'000);
        one->start(*this);
        REQUIRE(get(10'000));
        answer = 0;
        send(10'000);
        CHECK(get(20'000));
    }
}
