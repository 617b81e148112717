#pragma once

/// \file
/// The server's part of a hand-over (protocol/program/succession.hpp): the sessions of all its
/// workers.

#include "protocol/program/log.hpp"
#include "protocol/program/worker_set.hpp"
#include "server/usage_file.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// The sessions of this process, for a new one.
class given_sessions final : public giving_sessions {
  public:
    /// `usage`: null without accounting.
    given_sessions(worker_set<worker>& workers, shared_state& shared, usage_file* usage)
        : workers_(workers), shared_(shared), usage_(usage) {}
    ~given_sessions() override {
        if (usage_ && !gone_) usage_->go_on();
    }

    void save(std::size_t thread, const send& one) override { workers_[thread].save(one); }
    /// What users have moved. Where the service manager stands between the two processes the file
    /// does: it is written at the end of the one, and read by the other.
    std::vector<std::uint8_t> save_program() override {
        if (!usage_) return {};
        const auto text = usage_->hand_on();
        return {text.begin(), text.end()};
    }
    void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) override {
        gone_ = true;
        shared_.moving = true;
        workers_[thread].let_go(number_, refused);
    }

  private:
    worker_set<worker>& workers_;
    shared_state& shared_;
    usage_file* usage_;
    std::uint32_t number_ = 0;
    bool gone_ = false;
};

/// Those of the process before this one, before the workers' threads run: by turns.
class taken_sessions final : public taking_sessions {
  public:
    /// `usage_file`: accounting.file, for a line in the log.
    taken_sessions(worker_set<worker>& workers, std::string usage_file)
        : workers_(workers), usage_file_(std::move(usage_file)) {}

    bool take(const session_state& state, descriptor_list& sockets) override {
        if (!workers_.first().may_take_over(state)) return false;
        workers_[next_++ % workers_.size()].take_over(state, std::move(sockets));
        return true;
    }
    void take_program(bytes_view usage) override {
        usage_ = decode_usage(std::string(usage.begin(), usage.end()));
        if (!usage_ && !usage_file_.empty())
            log::warning("what the process before this one says of users' traffic cannot be read: "
                         "it is counted on from what {} has (accounting.file)",
                         usage_file_);
    }
    void give_back() override {
        for (const auto& each : workers_)
            each->give_back();
    }
    /// What users have moved, if the other process has counted it, and still runs.
    [[nodiscard]] std::optional<usage_book::users> take_usage() {
        return std::exchange(usage_, std::nullopt);
    }

  private:
    worker_set<worker>& workers_;
    std::string usage_file_;
    std::size_t next_ = 0;
    std::optional<usage_book::users> usage_;
};

} // namespace muxsocks::server
