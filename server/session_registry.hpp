#pragma once

/// \file
/// Whom a new link can resume: session id to the thread that owns the session. The one map that
/// threads share, off the data path; the owner alone verifies the proof. Bounds the number of
/// detached sessions, and what those of one user hold: of one too many, of a user or of all, the
/// one that was detached first goes, as it does for a new session of a user who has no place for
/// more. Over the memory of the process they go before anything of a session with a link does.
///
/// Each call takes constant time, however many sessions there are: thousands may lose their links
/// at once, and come back.

#include "protocol/program/settings.hpp"
#include "protocol/session/control.hpp"
#include "server/user_account.hpp"

#include <list>
#include <mutex>
#include <optional>
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

    /// A session that has a link: a new one, or one that was resumed.
    void insert(const session_id& id, worker& owner, const user_account_ptr& user);
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
    /// The session has lost its link. Returns those that have to go for it.
    std::vector<victim> on_detached(const session_id& id, std::size_t bytes_held);
    /// Takes out a detached session whose memory is needed: of those that have been so for longest
    /// the one whose user holds most, and of that user's the one that does.
    std::optional<victim> give_up_one();
    /// Takes out the user's session that has been detached for longest.
    std::optional<victim> give_up_one_of(const user_account& user);
    std::size_t size() const;
    void set(const resume_settings& settings);

  private:
    struct user_sessions;
    struct entry;
    using order = std::list<entry*>; ///< By the time of their detachment.
    struct user_sessions {
        user_account_ptr account;
        std::size_t attached = 0;
        order detached;
        std::size_t bytes_held = 0; ///< By those.
    };
    using users = std::unordered_map<const user_account*, user_sessions>;
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
