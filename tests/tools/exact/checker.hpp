#pragma once

/// \file
/// Many transfers at once, both ends of each in this process: starts them, counts how they end, and
/// says which went wrong. Each has one of three orders, which between them use half-close either
/// way.

#include "tests/tools/exact/exchange.hpp"
#include "tests/tools/exact/socks_dialer.hpp"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks::tools {

enum class order : std::size_t {
    together,     ///< both ends send at once, each FIN follows its own bytes
    client_first, ///< the target sends only after the client's FIN (a request, then its answer)
    target_first, ///< the client sends only after the target's FIN
    /// Both send at once; the target's FIN waits for all of the client's bytes, and the client's
    /// FIN for the target's: no half-close with data behind it, as version 1 peers need it.
    target_ends,
};

/// The command line's words, not parsed yet; main.cpp says what each means.
struct arguments {
    std::string socks;
    std::string listen;
    std::string user;
    std::string password;
    std::string target_name;
    std::string up;
    std::string down;
    std::string way;
    std::string pace;
    std::string deadline;
    std::string period;
    std::uint64_t transfers = 0;
    std::uint64_t concurrency = 0;
    std::uint64_t seed = 0;
    bool resets_ok = false;
};

class checker {
  public:
    /// Listens for the target's ends at once. Throws what is wrong with the arguments.
    explicit checker(const arguments& parsed);
    /// Runs all transfers to their end; returns whether every one was right.
    bool run();

    /// One line of JSON.
    std::string describe() const;

  private:
    struct transfer {
        std::uint64_t up_bytes = 0;
        std::uint64_t down_bytes = 0;
        order way{};
        bool target_began = false;
        std::optional<result> client;
        std::optional<result> target;
    };

    void accept();
    void serve(tcp_socket socket);
    void start_one();
    void send_header(std::uint64_t id, tcp_socket socket);
    void client_done(std::uint64_t id, const result& ended);
    void settle(std::uint64_t id);
    exchange_plan plan(std::uint64_t id, const transfer& which, bool at_target) const;
    bool more_to_start() const;

    asio::io_context io_{1};
    tcp_acceptor acceptor_{io_.get_executor()};
    steady_timer end_{io_.get_executor()};
    socks_route route_;
    range<std::uint64_t> up_;
    range<std::uint64_t> down_;
    std::optional<order> way_;
    std::uint64_t pace_;
    duration deadline_;
    std::optional<duration> period_;
    std::uint64_t transfers_;
    std::uint64_t concurrency_;
    std::uint64_t seed_;
    bool resets_ok_;
    random_engine random_;
    time_point began_ = clock::now();
    double seconds_ = 0;

    std::map<std::uint64_t, transfer> open_;
    std::uint64_t next_id_ = 0;
    std::uint64_t clients_busy_ = 0;
    std::array<std::uint64_t, outcomes> counts_{};
    std::uint64_t up_done_ = 0;
    std::uint64_t down_done_ = 0;
    std::vector<std::string> failures_;
};

} // namespace muxsocks::tools
