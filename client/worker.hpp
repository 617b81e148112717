#pragma once

/// \file
/// One thread of the client: its links, and the streams of applications over them. Nothing is
/// shared with other workers but configuration, the memory budget and the limit of files.

#include "client/accepted_connection.hpp"
#include "client/direct_dialer.hpp"
#include "client/link_pool.hpp"
#include "protocol/link/dial/resolver.hpp"
#include "protocol/program/succession.hpp"

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
    /// One that another process has handed over without a stream, as client/movable.hpp has it. Any
    /// thread; it is touched when this one runs.
    void take_moved(std::vector<std::uint8_t> state, descriptor_list sockets);

    // The rest runs in the worker's own thread.
    void start();
    void reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions);
    void suspect_all(const char* reason, std::chrono::nanoseconds slept) {
        pool_.suspect_all(reason, slept);
    }
    void check_routes() { pool_.check_routes(); }
    /// Whether the last stream has ended.
    bool idle() const { return pool_.idle() && direct_.idle(); }
    void stop() {
        direct_.close();
        pool_.close();
    }
    snapshot show(const snapshot_request& request) const;

    // ---- A hand-over.

    /// All that can go on elsewhere; sessions in the order in which let_go() numbers them.
    void save(const giving_sessions::send& one);
    /// It has gone there, but for the sessions in `refused`; `number` is the first one's here, and
    /// afterwards the next worker's.
    void let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused);
    /// Whether there is a place here for a session with that server.
    bool has_place_for(const handed_session& one) { return pool_.has_place_for(one); }
    /// A session of another process. Before the thread runs, as is give_back(): all of them are the
    /// other process's after all.
    void take_over(const session_state& from, const handed_session& one, descriptor_list sockets);
    void give_back() { pool_.give_back(); }

  private:
    void take_redirected(int descriptor, const listen_address& from);
    front_services services_for(std::uint8_t accept, int descriptor);
    void begin_moved(bytes_view state, descriptor_list sockets);
    /// Takes the sockets if it goes on.
    bool resume_stream(const driver_ptr& driver, stream& s, bytes_view state,
                       descriptor_list& sockets);
    /// The same of one with a single socket, which stays the caller's if it does not go on.
    bool resume_stream(const driver_ptr& driver, stream& s, bytes_view state, int socket);
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
    movable_list movables_;                   ///< Connections without a stream.
    std::vector<movable*> saved_;             ///< During a hand-over.
    std::vector<std::uint32_t> uids_;         ///< Who needs no password at a unix-domain socket.
};

} // namespace muxsocks::client
