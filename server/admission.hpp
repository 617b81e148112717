#pragma once

/// \file
/// The links of a server that have not authenticated yet, from accept() on: who has a place, who
/// has to go for a newcomer (admission_table has the rules), and how long an address that fails
/// waits. Shared by all threads, off the data path.

#include "server/admission_table.hpp"
#include "server/config.hpp"
#include "server/user_account.hpp"

#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

namespace muxsocks::server {

class worker;

class admission : public std::enable_shared_from_this<admission> {
  public:
    using link_id = admission_table::link_id;

    /// `make_go` tells a worker, in whichever thread it is called, that this link of its has lost
    /// its place.
    admission(limit_settings limits, std::function<void(worker&, link_id)> make_go);

    /// One link's place; it is free again when the ticket goes.
    class ticket {
      public:
        ticket() = default;
        ticket(std::shared_ptr<admission> from, link_id id) : from_(std::move(from)), id_(id) {}
        ticket(ticket&& other) noexcept = default;
        /// What the link holds is charged as long as the ticket is there.
        void charge(held_memory memory) { memory_ = std::move(memory); }
        ticket& operator=(ticket&& other) noexcept {
            std::swap(from_, other.from_);
            std::swap(id_, other.id_);
            std::swap(memory_, other.memory_);
            return *this;
        }
        ~ticket() {
            if (from_) from_->leave(id_);
        }
        explicit operator bool() const { return from_ != nullptr; }
        link_id id() const { return from_ ? id_ : 0; }
        /// Whether its place was given to a newcomer.
        bool lost() const { return from_ && from_->has_lost(id_); }

        void belongs_to(worker& owner) {
            if (from_) from_->set_owner(id_, owner);
        }
        void on_progress(link_progress to) {
            if (from_) from_->on_progress(id_, to);
        }
        /// The address that a PROXY header names; false if there is no place for one more.
        bool move_to(const boost::asio::ip::address& address) {
            return !from_ || from_->move_to(id_, address);
        }

      private:
        std::shared_ptr<admission> from_;
        link_id id_ = 0;
        held_memory memory_;
    };

    /// A place for a link that was accepted and will be served by `owner`. None where all are in
    /// the midst of their handshakes, or as many that have lost their places still wait to be
    /// closed. `balancer`: the real address comes in a PROXY header.
    ticket enter(const boost::asio::ip::address& address, bool balancer, worker& owner);

    /// How long a new link from there waits before it is served. Asked once for each.
    std::chrono::milliseconds pause(const boost::asio::ip::address& address);
    /// A link ended without having authenticated.
    void on_silent_end(const boost::asio::ip::address& address);

    /// How long the answer to this failure waits: 0.25 s, doubling to 4 s for failures of one
    /// address within the last minutes; a client waits 5 s for it. Never refuses anyone.
    std::chrono::milliseconds on_failure(const boost::asio::ip::address& address);
    void on_success(const boost::asio::ip::address& address);

    void set_limits(limit_settings limits);

  private:
    struct failures {
        unsigned count = 0;
        std::chrono::steady_clock::time_point last;
    };

    void leave(link_id id);
    bool has_lost(link_id id) const;
    void set_owner(link_id id, worker& owner);
    void on_progress(link_id id, link_progress to);
    bool move_to(link_id id, const boost::asio::ip::address& address);
    void send_away(const std::vector<link_id>& those, std::unique_lock<std::mutex> lock);
    bool exempt_locked(const boost::asio::ip::address& address) const;

    mutable std::mutex mutex_;
    limit_settings limits_;
    std::function<void(worker&, link_id)> make_go_;
    admission_table table_;
    std::map<link_id, worker*> owners_;
    std::set<link_id> lost_; ///< Those whose tickets have not gone yet.
    std::map<boost::asio::ip::address, failures> failed_;
};

} // namespace muxsocks::server
