#pragma once

/// \file
/// The tests' own DNS server: UDP and TCP on a free port of loopback, with scripted answers. A name
/// without a script does not exist (NXDOMAIN).

#include "protocol/link/loop/asio.hpp"

#include <boost/asio/ip/udp.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace muxsocks::test {

enum class record : std::uint16_t { a = 1, ptr = 12, aaaa = 28 };
enum class rcode : std::uint8_t { ok = 0, format = 1, failure = 2, no_name = 3, refused = 5 };

struct dns_reply {
    std::vector<std::string> addresses{};
    rcode code = rcode::ok;
    /// From the first question on: until the server has found out, as one that asks others. (c-ares
    /// asks again meanwhile, and from version 1.34 on takes no answer to a question before.)
    std::chrono::milliseconds delay{0};
    /// Whether it is never sent.
    bool silent = false;
    /// Whether UDP gets it without its records and with the TC bit.
    bool truncated = false;
    /// A CNAME record in front of the addresses, which are then this name's.
    std::string alias{};
    /// PTR records.
    std::vector<std::string> names{};
};

class dns_server {
  public:
    explicit dns_server(asio::io_context& context);
    ~dns_server();
    dns_server(const dns_server&) = delete;
    dns_server& operator=(const dns_server&) = delete;

    /// On 127.0.0.1, for UDP and TCP.
    [[nodiscard]] asio::ip::udp::endpoint endpoint() const { return socket_.local_endpoint(); }

    void on(const std::string& name, record type, dns_reply reply);
    /// Both types at once. Addresses are sorted out by their family.
    void on(const std::string& name, const dns_reply& reply);
    /// For each name under `domain` that has no script of its own: a wildcard.
    void on_all_under(const std::string& domain, const dns_reply& reply);

    /// Questions for this name and type that have come, repetitions included.
    [[nodiscard]] int asked(const std::string& name, record type) const;
    [[nodiscard]] int asked() const { return total_; }
    [[nodiscard]] int asked_over_tcp() const { return over_tcp_; }
    /// The UDP ports from which questions have come.
    [[nodiscard]] const std::set<std::uint16_t>& ports() const { return ports_; }

  private:
    using bytes = std::vector<std::uint8_t>;
    using udp_socket = asio::basic_datagram_socket<asio::ip::udp, executor>;
    struct question {
        std::string name;
        record type{};
        /// Where the question ends in the message.
        std::size_t end = 0;
    };
    struct connection {
        explicit connection(tcp_socket accepted) : socket(std::move(accepted)) {}
        tcp_socket socket;
        std::array<std::uint8_t, 2> length{};
        bytes message;
    };
    struct pending {
        explicit pending(asio::io_context& context) : timer(context.get_executor()) {}
        steady_timer timer;
    };

    void receive();
    void accept();
    void read(const std::shared_ptr<connection>& one);
    /// Calls `send` with the answer to `message`, when it is due.
    template <typename Send>
    void answer(const bytes& message, bool udp, Send send);
    [[nodiscard]] static question parse(const bytes& message);
    [[nodiscard]] dns_reply reply_to(const question& asked) const;
    [[nodiscard]] static bytes encode(const bytes& message, const question& asked,
                                      const dns_reply& reply, bool udp);

    asio::io_context& context_;
    tcp_acceptor acceptor_;
    udp_socket socket_;
    asio::ip::udp::endpoint sender_;
    std::array<std::uint8_t, 1500> datagram_{};
    std::map<std::pair<std::string, record>, dns_reply> script_;
    std::string wildcard_;
    std::map<std::pair<std::string, record>, int> asked_;
    std::map<std::pair<std::string, record>, std::chrono::steady_clock::time_point> known_at_;
    std::set<std::uint16_t> ports_;
    int total_ = 0;
    int over_tcp_ = 0;
    std::list<pending> pending_;
    std::shared_ptr<dns_server*> alive_;
};

} // namespace muxsocks::test
