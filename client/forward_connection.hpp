#pragma once

/// \file
/// An application's connection on which plain HTTP is forwarded: request by request, each to the
/// server that it names, answered in order. The way to a server is kept for the next request to
/// the same one; it is no other connection's. Bodies pass as they come, both ways, without a
/// time-out but `timeouts.idle`; an answer that is cut is a reset for the application.
///
///     idle --head--> opening --stream and its reply--> exchanging --both complete--> idle
///      |                |                                |
///      |                v refused                        v cut, or the end of what cannot go on
///      v another kind  answer, close                    reset, or close
///     accepted_connection
///
/// An application that half-closes still gets its answer.

#include "client/forward_way.hpp"
#include "client/front.hpp"
#include "http/answer_passage.hpp"
#include "http/authority.hpp"
#include "socks5/address.hpp"

#include <optional>

namespace muxsocks::client {

class forward_connection final : public ref_counted<forward_connection>,
                                 public stream_owner,
                                 public listed_movable {
  public:
    /// `bytes` is what has come, from the beginning of a request for forwarding.
    forward_connection(tcp_socket socket, const front_services& services, std::string bytes);
    ~forward_connection();
    void begin() { on_bytes(); }

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    void on_notice(const notice_frame& told) override;
    read_result read_for_turn(const read_slot& slot) override;
    void on_read_failed() override;
    void on_parked() override;
    void on_timeouts_changed() override;
    void describe(shown_stream& to) const override;

    // ---- A hand-over, with its stream or without one.

    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;
    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;
    /// From what was saved, behind its kind, in the other process. False for a state that is none;
    /// the socket stays the caller's then.
    static bool resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                       const front_services& services);
    static void resume(bytes_view state, tcp_socket socket, const front_services& services);
    static void resume_direct(bytes_view state, tcp_socket socket, tcp_socket target,
                              direct_dialer& by, const front_services& services);

  private:
    class request;
    friend class request;
    using self_ptr = boost::intrusive_ptr<forward_connection>;

    // forward_connection.cpp: requests, from the application to the stream
    void on_bytes();
    void on_head(std::size_t size);
    void leave();
    void read_idle();
    void ask_for_stream();
    void on_session(request& from, driver_ptr driver, request_sink& sink);
    void on_direct(request& from, tcp_socket target, direct_dialer& by);
    void take_way(request& from, forward_way_ptr way);
    void give_back(pending_request& to_wait);
    void send_request();
    void wait_readable();
    void on_local_readable();
    void finish_exchange();

    // forward_hand_over.cpp
    template <class Fields>
    void each_field(Fields& fields);
    int save_fields(std::vector<std::uint8_t>& state, std::vector<std::uint8_t>& of_way);
    bool load_fields(bytes_view state, std::vector<std::uint8_t>& of_way);
    void go_on();

    // forward_answers.cpp: answers, from the stream to the application; ends
    void deliver();
    bool take_reply(bytes_view view);
    bool pass(std::span<const bytes_view> views);
    bool write(std::span<const bytes_view> views);
    void wait_writable();
    void on_answered();
    void become_tunnel();
    void on_lost(std::error_code why);
    void on_end_of_stream();
    void on_no_reply(std::error_code why);
    void on_cut_answer();
    void on_wrong_answer();
    void drop_way();
    void count_end();
    void consume(std::size_t bytes);
    void refuse(const refusal& why);
    void fail(const http::fault& why);
    void say_and_close(const std::string& answer);
    void close_softly();
    void close();
    void cut();
    void stop();
    void on_limit();
    void on_idle();
    void touch();

    tcp_socket socket_;
    front_services services_;
    std::string input_; ///< From the application, and not used yet.
    http::head_end input_end_;

    // The request.
    std::string message_; ///< Its head and what had come of its body; until the answer begins.
    http::body_walker body_;
    std::uint64_t body_read_ = 0; ///< From the socket onto the way, beyond `message_`.
    bool repeatable_ = false;     ///< It does no harm a second time.
    bool exchanging_ = false;
    std::string named_; ///< The server, as the request names it.
    socks5::address target_;
    request_ptr request_; ///< That has got the stream; until the answer begins.

    // The way to the server.
    request_sink* sink_ = nullptr;
    forward_way_ptr way_;
    boost::intrusive_ptr<forward_connection> kept_; ///< The way's reference.
    std::vector<std::uint8_t> reply_;               ///< As far as it has come.
    std::string told_; ///< Why the server is about to refuse the stream.
    bool replied_ = false;
    bool reused_ = false;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::uint64_t bytes_up_ = 0;
    std::uint64_t bytes_down_ = 0;
    std::error_code reset_;               ///< How the way has ended, if by RST.
    std::optional<std::error_code> lost_; ///< The way has ended by RST, not all of it is passed.

    // The answer.
    http::answer_passage answer_;
    std::string output_;     ///< Heads that the socket has not taken yet.
    std::size_t walked_ = 0; ///< Bytes at the way's front that pass as they are.

    deadline limit_; ///< For a head, for a stream, or for last words.
    deadline idle_;  ///< timeouts.idle
    instant moved_{};
    bool head_begun_ = false;
    bool waiting_read_ = false;
    bool waiting_write_ = false;
    bool waiting_error_ = false;
    bool closed_ = false; ///< The socket is somebody else's, or closes.
};

} // namespace muxsocks::client
