#pragma once

/// \file
/// Asks several DNS servers for the records of a name: one after the other, each as soon as the
/// one before has failed or has not answered in its share of the time, twice around. What earlier
/// ones say later still counts. dns_servers says who is first.
///
/// Each server has a c-ares channel of its own, and now and then a new one, so another source port:
/// whoever wants to forge answers must guess more than a query's number.
///
/// One thread: the io_context's.

#include "protocol/link/dial/ares_channel.hpp"
#include "protocol/link/dial/dns_servers.hpp"

#include <boost/asio/ip/udp.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_set>
#include <vector>

namespace muxsocks {

class dns_client {
  public:
    using handler = ares_channel::handler;

    /// A question ends within `timeout`. Throws std::runtime_error with one sentence if none of the
    /// servers can be used.
    dns_client(asio::io_context& context, deadlines& clock,
               const std::vector<asio::ip::udp::endpoint>& servers,
               std::chrono::milliseconds timeout,
               dns_servers::clock::duration between_probes = dns_servers::probe_interval);
    /// Ends all questions; their handlers are destroyed without being called.
    ~dns_client();
    dns_client(const dns_client&) = delete;
    dns_client& operator=(const dns_client&) = delete;

    /// Asks for the records of `name` of one type. `done` is called once, through the executor; it
    /// may destroy the client.
    void ask(std::string name, dns_type type, handler done);

    /// Questions that have not ended. (Queries of one that has may still be under way: a query
    /// cannot be taken back.)
    [[nodiscard]] std::size_t pending() const noexcept { return questions_.size(); }

  private:
    struct question;
    using question_ptr = std::shared_ptr<question>;
    using time_point = dns_servers::clock::time_point;
    struct server {
        asio::ip::udp::endpoint endpoint;
        std::unique_ptr<ares_channel> channel;
    };

    std::unique_ptr<ares_channel> make_channel(const asio::ip::udp::endpoint& endpoint);
    /// The server's channel, for one more query.
    ares_channel& channel_of(server& one);
    /// How long the attempt with this number has before the next one begins.
    [[nodiscard]] std::chrono::milliseconds patience_for(std::size_t attempt) const;
    /// Asks the next server that has not failed; ends the question if there is none.
    void ask_next(const question_ptr& one);
    void query(const question_ptr& one, std::size_t attempt);
    void probe(const question& one);
    void on_answer(const question_ptr& one, std::size_t attempt, std::error_code error,
                   dns_records found);
    /// Of a question that has just been answered: notes who has not done so in time.
    void note_silence(const question& one, std::size_t answered_by, time_point now);
    void end(const question_ptr& one, std::error_code error, dns_records found);

    asio::io_context& context_;
    deadlines& clock_;
    std::chrono::milliseconds timeout_;
    std::vector<server> servers_;
    dns_servers order_;
    /// Channels that were replaced and had queries under way then.
    std::vector<std::unique_ptr<ares_channel>> replaced_;
    /// Those that have not ended.
    std::unordered_set<question_ptr> questions_;
};

} // namespace muxsocks
