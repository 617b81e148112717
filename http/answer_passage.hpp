#pragma once

/// \file
/// The answer to one request on its way through a proxy: heads are written anew, interim ones (1xx)
/// as they come, and bodies pass as they are. It tells when the answer is over, and what of both
/// connections can be used again.

#include "http/body_walker.hpp"

#include <string>

namespace muxsocks::http {

/// What of the request decides about its answer.
struct asked {
    std::string method;
    bool persists = true; ///< Whether the application's connection is to be used again.
    bool old = false;     ///< It speaks HTTP/1.0.
    bool upgrade = false;
};

class answer_passage {
  public:
    answer_passage() = default;
    explicit answer_passage(asked by) : by_(std::move(by)) {}

    struct piece {
        /// Bytes at the front of the input that this is about.
        std::size_t used = 0;
        /// Whether they go on as they are. Otherwise `text` goes on instead of them, maybe nothing.
        bool as_they_are = false;
        std::string text{};
    };
    /// The next piece of what has come. Uses nothing once the answer is over or wrong.
    piece next(std::string_view bytes);

    /// Whether anything of it has gone on.
    bool begun() const { return begun_; }
    /// Whether a byte of it has come.
    bool heard() const { return begun_ || !head_.empty(); }
    bool complete() const { return state_ == state::done; }
    /// After complete(): what follows is no HTTP any more, in both directions.
    bool upgraded() const { return upgraded_; }
    const http::fault& fault() const { return fault_; }
    /// Whether the end of the server's connection, now, is the answer's proper end.
    bool ends_with_connection() const {
        return state_ == state::body && body_.ends_with_connection();
    }
    /// Of the final head.
    unsigned status() const { return status_; }
    /// Whether the connections persist, the application's and the server's.
    bool keeps_application() const { return by_.persists && framed_; }
    bool keeps_server() const { return server_persists_ && framed_; }

    /// For another process that goes on with it, as long as there is no fault: passes all of it to
    /// `fields`.
    template <class Fields>
    void each_field(Fields& fields) {
        fields(by_.method, by_.persists, by_.old, by_.upgrade, state_, head_, body_, status_,
               begun_, upgraded_, framed_, server_persists_);
    }

  private:
    enum class state : std::uint8_t { head, body, done };

    std::string on_head();

    asked by_;
    state state_ = state::head;
    std::string head_; ///< As far as it has come.
    head_end end_;
    body_walker body_;
    http::fault fault_;
    unsigned status_ = 0;
    bool begun_ = false;
    bool upgraded_ = false;
    bool framed_ = false;
    bool server_persists_ = false;
};

} // namespace muxsocks::http
