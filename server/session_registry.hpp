#pragma once

/// \file
/// Whom a new link can resume: session id to the thread that owns the session. The one map that
/// threads share, off the data path; the owner alone verifies the proof. Bounds the number of
/// detached sessions: of one too many, of a user or of all, the one that was detached first goes.
/// Over the memory of the process they go before anything of a session with a link does.
///
/// Each call takes constant time, however many sessions there are: thousands may lose their links
/// at once, and come back.

#include "protocol/control.hpp"
#include "protocol/program/settings.hpp"

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace muxsocks::server {

class worker;

/// Ids are random, so any part of one is a hash.
struct session_id_hash {
    std::size_t operator()(const session_id& id) const noexcept;
};

class session_registry {
  public:
    explicit session_registry(const resume_settings& settings) : settings_(settings) {}

    /// A session that has a link: a new one, or one that was resumed. Whether its user has more
    /// sessions with a link than may be kept without one, and has not had until now.
    bool insert(const session_id& id, worker& owner, const std::string& user);
    void erase(const session_id& id);
    /// The worker that answers a RESUME of this session. For an unknown id it is one of them, too,
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
    /// Takes out a detached session whose memory is needed: of those that have been so for longest
    /// the one that holds most.
    std::optional<victim> give_up_one();
    std::size_t size() const;
    std::uint32_t sessions_per_user() const;
    void set(const resume_settings& settings);

  private:
    struct user_sessions;
    struct entry;
    using order = std::list<entry*>; ///< By the time of their detachment.
    struct user_sessions {
        std::size_t attached = 0;
        order detached;
        bool told = false; ///< Whether it was said that there are too many.
    };
    using users = std::unordered_map<std::string, user_sessions>;
    struct entry {
        session_id id{};
        worker* owner = nullptr;
        users::value_type* user = nullptr;
        bool detached = false;
        std::size_t bytes_held = 0; ///< When it was detached.
        order::iterator among_all{};
        order::iterator among_users{};
    };

    void unlink(entry& one);
    victim take(entry& one);

    /// Of how many that have waited longest the largest is chosen.
    static constexpr std::size_t candidates_max = 16;

    mutable std::mutex mutex_;
    resume_settings settings_;
    std::vector<worker*> workers_;
    std::unordered_map<session_id, entry, session_id_hash> sessions_;
    users users_;
    order detached_;
};

} // namespace muxsocks::server
