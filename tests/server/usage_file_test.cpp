/// \file
/// The file of what users have moved: whole at every moment, whatever happens to the process.

#include "server/usage_file.hpp"

#include "protocol/program/values.hpp"
#include "protocol/program/write_file.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <random>
#include <thread>

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;

namespace {

const wall_time now = parse_time("2026-11-29T12:00:00Z").value();

std::uint64_t total_in(const std::filesystem::path& path) {
    const auto all = read_usage(path);
    const auto found = all.find("a");
    return found == all.end() ? 0 : found->second.total.up;
}

} // namespace

TEST_CASE("the file of users' traffic") {
    const test::temporary_folder folder;
    const auto path = folder.path() / "usage.json";
    usage_book book;

    SECTION("may be missing at first") { CHECK(read_usage(path).empty()); }
    SECTION("has what was written") {
        usage_file file(path, 1min, book);
        book.add("a", {5, 7}, {}, now);
        file.write_now();
        CHECK(read_usage(path) == book.all());
        CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::mask) ==
              (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    }
    SECTION("is written when it is due, or soon where that is asked for") {
        usage_file file(path, 1h, book);
        file.start();
        const auto until = std::chrono::steady_clock::now() + 60s;
        while (!std::filesystem::exists(path) && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(1ms);
        REQUIRE(std::filesystem::exists(path));
        book.add("a", {5, 7}, {}, now);
        CHECK(total_in(path) == 0);
        file.write_soon();
        while (total_in(path) != 5 && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(1ms);
        CHECK(total_in(path) == 5);
    }
    SECTION("is another process's once all was handed on, unless this one goes on") {
        usage_file file(path, 1h, book);
        book.add("a", {5, 7}, {}, now);
        file.write_now();
        book.add("a", {5, 7}, {}, now);
        const auto handed = decode_usage(file.hand_on());
        REQUIRE(handed);
        CHECK(handed->at("a").total.up == 10);
        file.write_now();
        CHECK(total_in(path) == 5);
        file.go_on();
        file.write_now();
        CHECK(total_in(path) == 10);
    }
    SECTION("is not moved to its place by who is late, once the next process has begun") {
        replacement late(path);
        REQUIRE(late.write("late") == 0);
        REQUIRE(late.sync() == 0);
        usage_file(path, 1h, book).start();
        CHECK(late.move() == ENOENT);
    }
    SECTION("is moved aside where it is broken") {
        for (const char* name : {"usage.json.broken-1", "usage.json.broken-2"}) {
            folder.write("usage.json", "{\"version\": 1, \"users\": {\"a\": {\"tot");
            CHECK(read_usage(path).empty());
            CHECK_FALSE(std::filesystem::exists(path));
            CHECK(std::filesystem::exists(folder.path() / name));
        }
    }
    SECTION("is its owner's alone, whatever a crash has left beside it") {
        folder.write("usage.json.new", "begun", 0644);
        std::filesystem::create_hard_link(folder.path() / "usage.json.new",
                                          folder.path() / "other");
        usage_file file(path, 1min, book);
        book.add("a", {5, 7}, {}, now);
        file.write_now();
        CHECK(total_in(path) == 5);
        CHECK(std::filesystem::file_size(folder.path() / "other") == 5);
        CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::mask) ==
              (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    }
    SECTION("is whole where two processes write it at once") {
        replacement one(path);
        replacement other(path);
        REQUIRE(one.write("one") == 0);
        REQUIRE(other.write("half of the oth") == 0);
        REQUIRE(one.sync() == 0);
        REQUIRE(one.move() == 0);
        CHECK(folder.read("usage.json") == "one");
    }
    SECTION("has nothing beside it that a crash has left, from the start on") {
        for (const char* name : {"usage.json.new", "usage.json.new.a1B2c3", "usage.json.newer",
                                 "usage.json.new.by-hand", "usage.json.broken-1"})
            folder.write(name, "begun");
        usage_file(path, 1h, book).start();
        CHECK_FALSE(std::filesystem::exists(folder.path() / "usage.json.new"));
        CHECK_FALSE(std::filesystem::exists(folder.path() / "usage.json.new.a1B2c3"));
        for (const char* name :
             {"usage.json.newer", "usage.json.new.by-hand", "usage.json.broken-1"})
            CHECK(std::filesystem::exists(folder.path() / name));
    }
    SECTION("is no directory") {
        std::filesystem::create_directory(path);
        CHECK_THROWS_WITH(read_usage(path), test::contains("accounting.file: cannot read"));
        CHECK_THROWS_WITH(check_usage_file(path), test::contains("accounting.file: cannot read"));
    }
    SECTION("is told at start where it can never be written") {
        const auto missing = folder.path() / "missing" / "usage.json";
        usage_file file(missing, 1min, book);
        CHECK_THROWS_WITH(file.start(), test::contains("accounting.file: cannot write"));
        CHECK_THROWS_WITH(check_usage_file(missing),
                          test::contains("accounting.file: cannot write"));
    }
    SECTION("is left alone by a look at whether it will do") {
        check_usage_file(path);
        CHECK_FALSE(std::filesystem::exists(path));
        folder.write("usage.json", "broken");
        check_usage_file(path);
        CHECK(std::filesystem::file_size(path) == 6);
    }
    SECTION("stays as it is while the disk is full, and is written when it is not") {
        usage_file file(path, 1h, book);
        book.add("a", {5, 7}, {}, now);
        file.write_now();
        ::rlimit before{};
        ::getrlimit(RLIMIT_FSIZE, &before);
        const auto handler = ::signal(SIGXFSZ, SIG_IGN);
        const ::rlimit full{100, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &full);
        book.add("a", {1, 0}, {}, now);
        file.write_now();
        ::setrlimit(RLIMIT_FSIZE, &before);
        ::signal(SIGXFSZ, handler);
        CHECK(total_in(path) == 5);
        file.write_now();
        CHECK(total_in(path) == 6);
    }
}

TEST_CASE("the file of users' traffic survives kill -9 at any moment") {
    const test::temporary_folder folder;
    const auto path = folder.path() / "usage.json";
    std::minstd_rand random(7);
    const int rounds = std::getenv("MUXSOCKS_LONG") != nullptr ? 1'000 : 40;
    std::uint64_t told = 0;
    for (int round = 0; round < rounds; ++round) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        const auto child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            ::close(ends[0]);
            usage_book book(read_usage(path));
            usage_file file(path, 1min, book);
            for (;;) {
                book.add("a", {1, 1}, {}, now);
                book.add(std::string(200, 'b'), {1, 1}, {}, now);
                file.write_now();
                const auto total = book.all().at("a").total.up;
                if (::write(ends[1], &total, sizeof total) != sizeof total) ::_exit(1);
            }
        }
        ::close(ends[1]);
        // Once it has begun to write.
        std::uint64_t total = 0;
        REQUIRE(::read(ends[0], &total, sizeof total) == sizeof total);
        told = std::max(told, total);
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
        ::kill(child, SIGKILL);
        while (::read(ends[0], &total, sizeof total) == sizeof total)
            told = std::max(told, total);
        ::close(ends[0]);
        ::waitpid(child, nullptr, 0);
        const auto kept = total_in(path);
        REQUIRE(kept >= told);
        REQUIRE(kept <= told + 1);
        REQUIRE_FALSE(std::filesystem::exists(path.string() + ".broken-1"));
        told = kept;
    }
}
