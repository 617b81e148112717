#include "protocol/program/journal.hpp"

#include "protocol/program/log_writer.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

using namespace muxsocks;
using muxsocks::test::contains;
using namespace std::chrono_literals;

namespace {

/// What journald would be: a socket to which records come.
class fake_journal {
  public:
    explicit fake_journal(std::string path) : path_(std::move(path)) {
        ::sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
        socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        REQUIRE(::bind(socket_, reinterpret_cast<::sockaddr*>(&address), sizeof address) == 0);
    }
    ~fake_journal() { ::close(socket_); }
    fake_journal(const fake_journal&) = delete;
    fake_journal& operator=(const fake_journal&) = delete;

    /// Waits for the next one.
    [[nodiscard]] std::string record() const {
        std::string bytes(65536, 0);
        const auto size = ::recv(socket_, bytes.data(), bytes.size(), 0);
        REQUIRE(size > 0);
        bytes.resize(static_cast<std::size_t>(size));
        return bytes;
    }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
    int socket_ = -1;
};

std::string line(const std::string& priority, const std::string& reason,
                 const std::string& message) {
    return priority + journal::separator + reason + journal::separator + message;
}

} // namespace

TEST_CASE("a record of the journal") {
    SECTION("has the fields of its line") {
        const auto made = journal::record(line("4", "reset", "link lost [reset]"));
        CHECK_THAT(made, contains("MESSAGE=link lost [reset]\n"));
        CHECK_THAT(made, contains("\nPRIORITY=4\n"));
        CHECK_THAT(made, contains("\nMUXSOCKS_REASON=reset\n"));
        CHECK_THAT(made, contains("\nSYSLOG_IDENTIFIER="));
    }
    SECTION("has no reason where there is none") {
        CHECK_THAT(journal::record(line("6", "", "up")), !contains("MUXSOCKS_REASON"));
    }
    SECTION("has a line that is not made for it as its message") {
        const auto made = journal::record("a line of text");
        CHECK_THAT(made, contains("MESSAGE=a line of text\n"));
        CHECK_THAT(made, contains("\nPRIORITY=6\n"));
    }
}

TEST_CASE("standard error is the journal's if device and inode are") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    struct ::stat found {};
    REQUIRE(::fstat(ends[1], &found) == 0);
    const auto device = std::to_string(found.st_dev);
    const auto inode = std::to_string(found.st_ino);
    CHECK(journal::is_stream(ends[1], device + ":" + inode));
    CHECK_FALSE(journal::is_stream(ends[1], device + ":" + inode + "0"));
    CHECK_FALSE(journal::is_stream(ends[1], ""));
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK_FALSE(journal::is_stream(-1, device + ":" + inode));
}

TEST_CASE("there is no journal where nobody listens") {
    const test::temporary_folder folder;
    CHECK(journal::open(folder.path() / "socket") == -1);
    CHECK(errno == ENOENT);
    CHECK(journal::open(std::string(200, 'x')) == -1);
}

TEST_CASE("a writer to the journal") {
    const test::temporary_folder folder;
    const fake_journal journald((folder.path() / "socket").string());
    log_writer writer({[](std::string_view message) { return std::string(message) + "\n"; }, {}});
    writer.write_to_journal(journal::open(journald.path()));
    SECTION("sends a record for each line") {
        writer.add(line("6", "", "one") + "\n");
        writer.add(line("3", "", "two") + "\n");
        CHECK_THAT(journald.record(), contains("MESSAGE=one\nPRIORITY=6\n"));
        CHECK_THAT(journald.record(), contains("MESSAGE=two\nPRIORITY=3\n"));
        CHECK(writer.flush(10s));
    }
    SECTION("waits for a journal that is busy, and loses nothing") {
        for (int i = 0; i < 2000; ++i)
            writer.add(line("6", "", "line " + std::to_string(i)) + "\n");
        for (int i = 0; i < 2000; ++i)
            REQUIRE_THAT(journald.record(), contains("MESSAGE=line " + std::to_string(i) + "\n"));
        CHECK(writer.flush(10s));
    }
}
