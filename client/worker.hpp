#pragma once

/// \file
/// One thread of the client: its links, and the streams of applications over them. Nothing is
/// shared with other workers but configuration, the memory budget and the limit of files.

#include "client/accepted_connection.hpp"
#include "client/direct_dialer.hpp"
#include "client/link_pool.hpp"
#include "protocol/link/dial/resolver.hpp"

namespace muxsocks::client {

class worker {
  public:
    /// `sessions`: how many this worker holds to each server.
    worker(memory_budget& budget, std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions,
           file_limit_check& files);
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    asio::io_context& context() { return thread_.context(); }
    link_thread& thread() { return thread_; }
    deadlines& clock() { return thread_.clock(); }

    /// A connection of an application, accepted in whichever thread. Any thread may call it.
    void take(int descriptor, const listen_address& from);

    // The rest runs in the worker's own thread.
    void start();
    void reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions);
    void suspect_all(const char* reason, std::chrono::nanoseconds slept) {
        pool_.suspect_all(reason, slept);
    }
    void check_routes() { pool_.check_routes(); }
    /// Takes no new streams.
    void drain() {
        pool_.drain();
        direct_.drain();
    }
    /// Whether the last stream has ended.
    bool idle() const { return pool_.idle() && direct_.idle(); }
    void stop() {
        direct_.close();
        pool_.close();
    }
    snapshot show(const snapshot_request& request) const;

  private:
    void take_redirected(int descriptor, const listen_address& from);
    /// The configuration in force has changed.
    void use_recipe();

    link_thread thread_;
    resolver resolver_;
    dial_services services_;
    std::shared_ptr<const link_recipe> recipe_;
    std::shared_ptr<const socks5::credentials> users_; ///< None: nobody has to log in.
    link_pool pool_;
    direct_dialer direct_;
    std::shared_ptr<const page_facts> pages_;
    std::shared_ptr<const udp_settings> udp_; ///< None where it is switched off.
    std::vector<std::uint32_t> uids_;         ///< Who needs no password at a unix-domain socket.
};

} // namespace muxsocks::client
