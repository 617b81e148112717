#pragma once

/// \file
/// One c-ares channel driven by Asio: DNS queries to one server, without a thread and without
/// blocking. c-ares owns its sockets and says which of them it waits for; Asio waits for them and
/// for c-ares' time-outs. Works with c-ares from 1.18 on. Which server to ask, and when to ask
/// again, is dns_client's business, and what a name means before DNS is asked (addresses, the host
/// table, search domains) the resolver's; here names are complete, and nobody is asked for any
/// other. (ares_getaddrinfo() of c-ares 1.18 does ask: ARES_FLAG_NOSEARCH does not keep it from
/// NAME.DOMAIN when one family of NAME has no address.)
///
/// One thread: the io_context's.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"
#include "protocol/link/loop/unique_function.hpp"

#include <ares.h>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/udp.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace muxsocks {

/// What a query asks for.
enum class dns_type : std::uint8_t { a, aaaa, ptr };

/// What the answer has of that.
struct dns_records {
    std::vector<asio::ip::address> addresses{}; ///< In the server's order.
    std::string name{};                         ///< The first that can be a host's.

    [[nodiscard]] bool empty() const { return addresses.empty() && name.empty(); }
};

class ares_channel {
  public:
    /// On success at least one address, or a name; else one of resolve_errc.
    using handler = unique_function<void(std::error_code, dns_records)>;

    struct options {
        asio::ip::udp::endpoint server;
        /// For the answer to a query, which is sent once.
        std::chrono::milliseconds timeout{5000};
    };

    /// Throws std::runtime_error with one sentence if c-ares cannot be set up.
    ares_channel(asio::io_context& context, deadlines& clock, const options& wanted);
    /// Ends all queries; their handlers are destroyed without being called.
    ~ares_channel();
    ares_channel(const ares_channel&) = delete;
    ares_channel& operator=(const ares_channel&) = delete;

    /// Asks for the records of `name` of one type. `done` is called once, through the executor; it
    /// may destroy the channel. A query cannot be taken back: it ends when it is answered, or with
    /// the last time-out.
    void query(const std::string& name, dns_type type, handler done);

    /// Whether no query is under way, and no handler is left to be called.
    [[nodiscard]] bool is_idle() const noexcept { return pending_ == 0 && answers_.empty(); }
    /// Whether a new channel should take this one's place: so many queries have left from one port
    /// (where c-ares does not change it by itself, before 1.20), or so many have been answered that
    /// c-ares would wait for less than the time-out (from 1.32 on).
    [[nodiscard]] bool is_worn() const noexcept;

  private:
    struct question;
    struct watched;
    struct answer {
        handler done;
        std::error_code error;
        dns_records records;
    };

    /// c-ares has ended the query `asked`, a question of its own.
    static void end(void* asked, int status, dns_records found);
    static void on_socket_state(void* self, ares_socket_t descriptor, int readable, int writable);

    void watch(ares_socket_t descriptor, bool readable, bool writable);
    void wait_readable(const std::shared_ptr<watched>& one);
    void wait_writable(const std::shared_ptr<watched>& one);
    void process(ares_socket_t readable, ares_socket_t writable);
    /// To be called after every call into c-ares that may have changed its time-outs.
    void set_timer();
    /// Calls the handlers of the queries that have ended; never from inside c-ares.
    void deliver();

    asio::io_context& context_;
    deadline timer_;
    ::ares_channel channel_ = nullptr;
    std::unordered_map<ares_socket_t, std::shared_ptr<watched>> sockets_;
    std::vector<answer> answers_;
    std::size_t pending_ = 0;
    int queries_ = 0;
    int answered_ = 0; ///< Of those that have ended: by the server, not by the time-out.
    /// Null once this object is gone: handlers of Asio may be queued then.
    std::shared_ptr<ares_channel*> alive_;
};

} // namespace muxsocks
