#include "protocol/program/descriptor_store.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <future>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

/// A service manager that keeps what it is sent until its barrier is passed.
class keeping_manager {
  public:
    explicit keeping_manager(const std::string& path)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        ::sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path.copy(name.sun_path, path.size());
        REQUIRE(::bind(socket_, reinterpret_cast<const ::sockaddr*>(&name), sizeof name) == 0);
    }
    ~keeping_manager() { ::close(socket_); }
    keeping_manager(const keeping_manager&) = delete;
    keeping_manager& operator=(const keeping_manager&) = delete;

    void run() {
        while (receive())
            ;
    }

    std::vector<int> states, sockets;

  private:
    bool receive() {
        std::array<char, 4096> text{};
        union {
            ::cmsghdr align;
            char bytes[CMSG_SPACE(253 * sizeof(int))];
        } room{};
        ::iovec place{text.data(), text.size()};
        ::msghdr packet{};
        packet.msg_iov = &place;
        packet.msg_iovlen = 1;
        packet.msg_control = room.bytes;
        packet.msg_controllen = sizeof room.bytes;
        const auto size = ::recvmsg(socket_, &packet, MSG_CMSG_CLOEXEC);
        REQUIRE(size > 0);
        const auto* const control = CMSG_FIRSTHDR(&packet);
        REQUIRE(control);
        std::vector<int> came((control->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(came.data(), CMSG_DATA(control), came.size() * sizeof(int));
        const std::string_view said(text.data(), static_cast<std::size_t>(size));
        if (said == "BARRIER=1") {
            ::close(came.at(0));
            return false;
        }
        REQUIRE(said.starts_with("FDSTORE=1\nFDPOLL=0\nFDNAME=muxsocks-"));
        auto& to = said.ends_with("-state") ? states : sockets;
        to.insert(to.end(), came.begin(), came.end());
        return true;
    }

    int socket_;
};

std::vector<std::uint8_t> contents(int memory) {
    struct ::stat found {};
    REQUIRE(::fstat(memory, &found) == 0);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(found.st_size));
    REQUIRE(::pread(memory, bytes.data(), bytes.size(), 0) == static_cast<::ssize_t>(bytes.size()));
    return bytes;
}

::ino_t inode_of_socket(int descriptor) {
    struct ::stat found {};
    REQUIRE(::fstat(descriptor, &found) == 0);
    return found.st_ino;
}

int next_descriptor() {
    const int next = ::dup(STDERR_FILENO);
    ::close(next);
    return next;
}

std::vector<int> copies(const std::vector<int>& all) {
    std::vector<int> made;
    for (const int each : all)
        made.push_back(::fcntl(each, F_DUPFD_CLOEXEC, 3));
    return made;
}

} // namespace

TEST_CASE("a place that the service manager keeps") {
    temporary_folder folder;
    const auto path = (folder.path() / "notify").string();
    keeping_manager manager(path);
    const environment_variable socket("NOTIFY_SOCKET", path);
    const environment_variable store("FDSTORE", "100");
    service_manager told;
    REQUIRE(told.keeps_descriptors());

    std::vector<int> own;
    for (int i = 0; i < 301; ++i)
        own.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const std::vector<std::uint8_t> first(100'000, 7);
    const std::vector<std::uint8_t> second{1, 2, 3};
    bool sent = false;
    {
        place_writer place;
        place.add({"unix:/run/x", own[0]});
        place.add(handed_piece::session, first, std::span(own).subspan(1, 300));
        place.add(handed_piece::connection, second, {});
        auto keeping = std::async(std::launch::async, [&] { manager.run(); });
        sent = place.send(told);
    }
    REQUIRE(sent);
    REQUIRE(manager.states.size() == 1);
    REQUIRE(manager.sockets.size() == own.size());
    auto bytes = contents(manager.states[0]);

    SECTION("is found again, whatever the order of its sockets") {
        std::vector<int> passed(manager.sockets.rbegin(), manager.sockets.rend());
        auto place = stored_place::read(bytes, copies(passed));
        REQUIRE(place);
        REQUIRE(place->listening.size() == 1);
        CHECK(place->listening[0].name == "unix:/run/x");
        CHECK(inode_of_socket(place->listening[0].descriptor) == inode_of_socket(own[0]));
        ::close(place->listening[0].descriptor);
        REQUIRE(place->pieces.size() == 2);
        CHECK(place->pieces[0].what == handed_piece::session);
        CHECK(place->pieces[0].state == first);
        CHECK(place->pieces[1].what == handed_piece::connection);
        CHECK(place->pieces[1].state == second);
        CHECK(place->pieces[1].sockets.size() == 0);
        REQUIRE(place->pieces[0].sockets.size() == 300);
        for (std::size_t i = 1; i < own.size(); ++i) {
            const int one = place->pieces[0].sockets.take();
            CHECK(inode_of_socket(one) == inode_of_socket(own[i]));
            ::close(one);
        }
    }
    SECTION("keeps the places of sockets that are lost") {
        auto passed = copies({own[0], own[2], own[3]});
        auto place = stored_place::read(bytes, passed);
        REQUIRE(place);
        REQUIRE(place->pieces.size() == 2);
        CHECK(place->pieces[0].sockets.take() == -1);
        const int one = place->pieces[0].sockets.take();
        CHECK(inode_of_socket(one) == inode_of_socket(own[2]));
        ::close(one);
        ::close(place->listening.at(0).descriptor);
    }
    SECTION("is none if it is cut off, or of another kind, and leaves nothing open") {
        const int free = next_descriptor();
        auto unknown = bytes;
        // Behind the listener: the type of the first session.
        unknown.at(18 + 1 + 8 + 4 + std::string_view("unix:/run/x").size()) = 7;
        CHECK_FALSE(stored_place::read(unknown, copies({own[0]})));
        for (std::size_t size = 0; size < bytes.size(); size += size < 3000 ? 1 : 997)
            CHECK_FALSE(stored_place::read(bytes_view(bytes).first(size), copies({own[0]})));
        bytes[17] = 9;
        CHECK_FALSE(stored_place::read(bytes, copies({own[0]})));
        CHECK_FALSE(stored_place::read({}, copies(own)));
        CHECK(next_descriptor() == free);
    }
    SECTION("resets its connections if nobody comes") {
        ::linger option{};
        ::socklen_t size = sizeof option;
        REQUIRE(::getsockopt(own[1], SOL_SOCKET, SO_LINGER, &option, &size) == 0);
        CHECK(option.l_onoff == 1);
        CHECK(option.l_linger == 0);
    }
    for (const auto* all : {&own, &manager.states, &manager.sockets})
        for (const int each : *all)
            ::close(each);
}
