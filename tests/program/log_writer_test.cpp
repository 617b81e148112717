#include "protocol/program/log_writer.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

using namespace muxsocks;
using namespace std::chrono_literals;
using muxsocks::test::contains;

namespace {

log_writer::callbacks plain_lines() {
    return {[](std::string_view message) { return "! " + std::string(message) + "\n"; }, {}};
}

std::string numbered(int i) { return "line " + std::to_string(i) + " of the test\n"; }

/// A pipe whose reader reads when the test says so.
class slow_pipe {
  public:
    slow_pipe() {
        REQUIRE(::pipe2(ends_, O_CLOEXEC) == 0);
        (void)::fcntl(ends_[1], F_SETPIPE_SZ, 4096);
    }
    ~slow_pipe() { ::close(ends_[0]); }
    slow_pipe(const slow_pipe&) = delete;
    slow_pipe& operator=(const slow_pipe&) = delete;

    /// The writer closes it.
    [[nodiscard]] int write_end() const { return ends_[1]; }

    /// All up to this text, which must come.
    std::string read_until(std::string_view end) {
        char buffer[4096];
        while (all_.find(end) == std::string::npos) {
            const auto size = ::read(ends_[0], buffer, sizeof buffer);
            REQUIRE(size > 0);
            all_.append(buffer, static_cast<std::size_t>(size));
        }
        return all_;
    }

  private:
    int ends_[2] = {-1, -1};
    std::string all_;
};

} // namespace

TEST_CASE("a writer of the log") {
    test::temporary_folder folder;
    const auto path = folder.path() / "a.log";
    const auto open = [&](const std::string& name) {
        const auto file = (folder.path() / name).string();
        return ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    };
    SECTION("writes lines in their order") {
        log_writer writer(plain_lines());
        writer.write_to_file(open("a.log"), "a.log");
        std::string all;
        for (int i = 0; i < 3000; ++i) {
            writer.add(numbered(i));
            all += numbered(i);
        }
        REQUIRE(writer.flush(10s));
        CHECK(folder.read("a.log") == all);
    }
    SECTION("writes each line to the file that it was added for") {
        log_writer writer(plain_lines());
        writer.write_to_file(open("a.log"), "a.log");
        writer.add("one\n");
        writer.write_to_file(open("b.log"), "b.log");
        writer.add("two\n");
        REQUIRE(writer.flush(10s));
        CHECK(folder.read("a.log") == "one\n");
        CHECK(folder.read("b.log") == "two\n");
    }
    SECTION("writes what is left when it ends") {
        {
            log_writer writer(plain_lines());
            writer.write_to_file(open("a.log"), "a.log");
            writer.add("one\n");
        }
        CHECK(folder.read("a.log") == "one\n");
    }
    SECTION("calls back at the time that was asked for") {
        std::atomic<bool> called{false};
        auto call = plain_lines();
        call.on_wake = [&] { called = true; };
        log_writer writer(call);
        writer.wake_at(log_writer::clock::now() + 1h);
        writer.wake_at(log_writer::clock::now() + 1ms);
        const auto until = log_writer::clock::now() + 10s;
        while (!called && log_writer::clock::now() < until)
            std::this_thread::yield();
        CHECK(called);
    }
}

TEST_CASE("a log that nobody reads") {
    slow_pipe pipe;
    constexpr int many = 5000;
    log_writer writer(plain_lines(), 20'000);
    writer.write_to_file(pipe.write_end(), "pipe");
    for (int i = 0; i < many; ++i)
        writer.add(numbered(i));
    SECTION("keeps nobody waiting") { CHECK_FALSE(writer.flush(10ms)); }
    SECTION("says how many lines it misses in the place where they are missing") {
        pipe.read_until(" missing here: ");
        writer.add("the end\n");
        std::istringstream all(pipe.read_until("the end\n"));
        // Each line is either the next one, or tells how many come between.
        int next = 0;
        int told = 0;
        std::string line;
        while (std::getline(all, line) && line != "the end") {
            if (line.starts_with("! ")) {
                CHECK_THAT(line, contains("they came faster than the log was read or written"));
                next += std::stoi(line.substr(2));
                ++told;
            } else {
                CHECK(line + "\n" == numbered(next++));
            }
        }
        CHECK(next == many);
        CHECK(told > 0);
    }
    SECTION("is given up for another one") {
        test::temporary_folder folder;
        const auto path = (folder.path() / "a.log").string();
        writer.write_to_file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), path);
        // Until then there was no room.
        REQUIRE(writer.flush(10s));
        writer.add("here\n");
        REQUIRE(writer.flush(10s));
        CHECK_THAT(folder.read("a.log"),
                   contains(" lines are missing here: ") && contains("here\n"));
    }
}

TEST_CASE("a log file that cannot be written") {
    test::temporary_folder folder;
    const auto path = (folder.path() / "a.log").string();
    log_writer writer(plain_lines());
    writer.write_to_file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600),
                         path);
    writer.add("before\n");
    REQUIRE(writer.flush(10s));
    ::rlimit whole{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &whole) == 0);
    const auto usual = std::signal(SIGXFSZ, SIG_IGN);
    const ::rlimit tight{10, whole.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
    writer.add("a line that is cut\n");
    const bool went_on = writer.flush(10s);
    writer.add("a line that is lost\n");
    const bool still = writer.flush(10s);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &whole) == 0);
    std::signal(SIGXFSZ, usual);
    CHECK(went_on);
    CHECK(still);
    writer.add("after\n");
    REQUIRE(writer.flush(10s));
    CHECK(folder.read("a.log") ==
          "before\na l\n! 2 lines are missing here: File too large\nafter\n");
}
