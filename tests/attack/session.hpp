#pragma once

/// \file
/// An authenticated session over one link at a time, honest unless told otherwise: it answers PING,
/// acknowledges, grants credit, and counts where each of its streams is. What comes for streams
/// goes to `on_frame`; an end of the link that nobody here wanted goes to `on_end`.

#include "tests/attack/link.hpp"

#include <functional>

namespace muxsocks::attack {

struct habits {
    std::uint32_t initial_window = 256 * 1024;
    bool acknowledges = true;
    bool grants = true; ///< credit for what has come
};

class session : public std::enable_shared_from_this<session> {
  public:
    session(asio::io_context& io, destination where, std::string user, habits ways = {});

    /// Dials, authenticates, and begins to read. Throws if the server wants something else.
    awaitable<void> log_in();
    /// Dials a link of the number for the session, whose last one is gone.
    awaitable<void> come_back(std::uint32_t number);

    /// Opens a stream whose first bytes are these; its id.
    std::uint32_t open(view first, bool finished = false);
    void write(std::uint32_t stream, view content, bool finished = false);
    void reset(std::uint32_t stream);

    /// Puts together what is said until flush(), so that it is one write.
    void flush();

    void cut();
    bool up() const { return link_ && link_->open(); }
    link& on() { return *link_; }
    const std::string& user() const { return user_; }

    std::function<void(const wire::frame&)> on_frame;
    std::function<void(const std::string& why)> on_end;

  private:
    awaitable<void> read();
    void take(const wire::frame& frame);

    asio::io_context& io_;
    destination where_;
    std::string user_;
    habits ways_;
    wire::handshake secrets_;
    std::shared_ptr<link> link_;
    bool cut_ = false; ///< by us, so its end is not told
    bytes batch_;
    std::uint32_t next_stream_ = 1;
    std::vector<std::uint64_t> sent_;     ///< by id / 2
    std::vector<std::uint64_t> received_; ///< likewise
    std::uint64_t kept_ = 0;              ///< on this link
    std::uint64_t acknowledged_ = 0;
    std::string last_words_;
};

/// A session that is logged in; empty if that failed.
awaitable<std::shared_ptr<session>> try_log_in(asio::io_context& io, destination where,
                                               std::string user, habits ways = {});

} // namespace muxsocks::attack
