#pragma once

/// \file
/// Which session a request goes to. Servers of the best priority that answer are used, the others
/// only while none of them does; among sessions of one priority the least loaded by weight. What a
/// request is, and how its application is told, is not known here. Those for which there is no link
/// wait in order (request_queue), `timeouts.wait` at most.

#include "client/link_supervisor.hpp"
#include "client/request_queue.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/snapshot.hpp"
#include "protocol/program/succession.hpp"

#include <list>
#include <memory>
#include <vector>

namespace muxsocks::client {

class link_pool final : public request_sink, public link_supervisor::watcher {
  public:
    link_pool(link_thread& thread, const dial_services& services,
              std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions,
              file_limit_check& files);
    ~link_pool();

    void start();
    void submit(request_ptr request) override;
    const relay_timeouts& stream_timeouts() const override { return relay_timeouts_; }
    /// The machine has slept, or a user asks for it: every link is doubted.
    void suspect_all(const char* reason, std::chrono::nanoseconds slept);
    /// The network has changed: links whose route has are doubted.
    void check_routes();
    /// Changes to what a reload brought: links whose settings are the same are not disturbed.
    void reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions);
    /// Whether no stream runs, and no request waits.
    bool idle() const;
    void close();
    std::size_t stream_count() const;
    /// One line a link, for people.
    std::vector<std::string> link_states() const;
    void show(const snapshot_request& request, snapshot& to) const;

    // ---- A hand-over to another process, or from one.

    /// The sessions that can go on elsewhere. False if the other process is gone.
    bool save(const giving_sessions::send& one);
    void let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused);
    /// The requests that wait for a link, and are no session's.
    template <class Function>
    void for_each_waiting(Function function) {
        waiting_.for_each(function);
    }
    void forget_waiting() { waiting_.clear(); }
    /// Whether there is a place for a session with this server that takes streams.
    bool has_place_for(const handed_session& one) { return free_slot(one) != nullptr; }
    /// A session of another process, before start(). Without a place it takes no new streams.
    void take_over(const session_state& from, const handed_session& one, descriptor_list sockets,
                   const resume_owner& resume);
    /// All are the other process's after all.
    void give_back();

  private:
    struct slot {
        server_entry server;
        std::unique_ptr<link_supervisor> supervisor;
        /// Takes over once it is up (link_max_age): made before the old one is broken.
        std::unique_ptr<link_supervisor> successor;
        /// Until when a server that drains is not asked again.
        instant shunned_until{};
        /// Doubles each time that it still drains.
        std::chrono::milliseconds shun_time{};
    };

    void on_link_available(link_supervisor& from) override;
    void on_link_retiring(link_supervisor& from) override;
    void on_link_failed(link_supervisor& from) override;

    void make_slots(std::uint32_t sessions);
    std::unique_ptr<link_supervisor> make_supervisor(const server_entry& server);
    slot* slot_of(const link_supervisor& supervisor);
    slot* free_slot(const handed_session& one);
    template <class Function>
    void for_each_supervisor(Function function) {
        for (auto& each : slots_) {
            function(*each.supervisor);
            if (each.successor) function(*each.successor);
        }
        for (auto& each : retiring_)
            function(*each);
    }
    /// None of the sessions that have refused the request.
    link_supervisor* choose(const pending_request& request);
    /// Where there is but one server, and it stops: the session that takes streams still.
    link_supervisor* choose_late(const pending_request& request);
    template <class Function>
    void for_each_late(Function function) {
        const auto& only = slots_.front().server.address;
        for (const auto& each : slots_)
            if (each.server.address != only) return;
        for_each_supervisor([&](link_supervisor& each) {
            if (each.available_late() && each.server().address == only) function(each);
        });
    }
    /// Whether a session that has refused the request is up: it is not worth waiting for another.
    bool refused(const pending_request& request) const;
    void give_up_refused(pending_request& request);
    void serve_waiting();
    void expire_waiting();
    /// Whether no link will come before somebody mends something.
    bool refuses() const;
    /// A sentence for who waits in vain.
    std::string why_no_link() const;
    /// Starts the links that the state of the better ones calls for.
    void wake_links();
    /// Shortens the pauses before dials: a request waits, or the network is another one.
    void hurry_all();
    void retire(slot& from);
    void check_files(const link_supervisor& up);
    void on_tick();

    link_thread& thread_;
    dial_services services_;
    std::shared_ptr<const link_recipe> recipe_;
    file_limit_check& files_;
    relay_timeouts relay_timeouts_;
    std::vector<slot> slots_; ///< By priority.
    std::list<std::unique_ptr<link_supervisor>> retiring_;
    request_queue waiting_;
    std::vector<link_supervisor*> saved_; ///< During a hand-over.
    instant refusal_said_{};              ///< When the log last told of a request that was refused.
    deadline tick_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0); ///< For posted handlers.
    bool draining_ = false;
};

} // namespace muxsocks::client
