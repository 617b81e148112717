#pragma once

/// \file
/// Whom a new link can resume: session id to the thread that owns the session. The one map that
/// threads share, off the data path; the owner alone verifies the proof. Bounds the number of
/// detached sessions: of one user's too many, the one that was detached first goes. Over the memory
/// of the process they go before anything of a session with a link does.

#include "protocol/session/control.hpp"
#include "protocol/program/settings.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks::server {

class worker;

class session_registry {
  public:
    explicit session_registry(const resume_settings& settings) : settings_(settings) {}

    /// A session that has a link: a new one, or one that was resumed.
    void insert(const session_id& id, worker& owner, std::string user);
    void erase(const session_id& id);
    /// The worker that answers a JOIN of this session. For an unknown id it is one of them, too,
    /// and always the same: the way that a refusal takes must not tell which ids exist.
    worker& find(const session_id& id) const;
    /// Each worker, before the first find().
    void enlist(worker& one) { workers_.push_back(&one); }

    struct victim {
        session_id id;
        worker* owner;
    };
    /// The session has lost its link. Returns a session that has to go for it, if there is one.
    std::optional<victim> on_detached(const session_id& id, std::size_t bytes_held);
    /// Takes out the session that has been detached for longest among those that hold memory.
    std::optional<victim> give_up_oldest();
    std::size_t size() const;
    void set(const resume_settings& settings);

  private:
    struct entry {
        worker* owner;
        std::string user;
        std::optional<std::chrono::steady_clock::time_point> detached;
        std::size_t bytes_held = 0; ///< When it was detached.
    };

    mutable std::mutex mutex_;
    resume_settings settings_;
    std::vector<worker*> workers_;
    std::map<session_id, entry> sessions_;
};

} // namespace muxsocks::server
