#pragma once

/// \file
/// An application's connection and one of the client's own with its target: what
/// protocol/link/relay does for a stream, between two sockets. Bytes go from the one to the other
/// at once, and only what a socket does not take is kept, while the other one is not read. An end
/// of file is passed on as a half-close. A reset is passed on behind all that came before it, and
/// so is one that is noticed by writing: the socket that takes nothing more is read to its end
/// first.

#include "client/direct_dialer.hpp"
#include "protocol/link/loop/output_interest.hpp"

namespace muxsocks::client {

class direct_relay final : public ref_counted<direct_relay>, public direct_end {
  public:
    direct_relay(direct_dialer& by, tcp_socket application, tcp_socket target,
                 std::string destination);
    /// With what there is already for each of the two.
    void start(bytes_view for_application, bytes_view for_target);

    void cut() override;
    void on_timeouts_changed() override;
    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;
    /// As start(), for one that another process has saved, behind its kind.
    static void resume(direct_dialer& by, tcp_socket application, tcp_socket target,
                       bytes_view state);

  private:
    template <class Fields>
    void each_field(Fields& fields);
    void go_on();

    using self_ptr = boost::intrusive_ptr<direct_relay>;
    using time_point = std::chrono::steady_clock::time_point;

    struct side {
        side(tcp_socket of, std::uint64_t& counted) : socket(std::move(of)), total(counted) {}

        tcp_socket socket;
        std::uint64_t& total;             ///< All bytes from such a socket in this thread.
        std::uint64_t given = 0;          ///< Bytes from this one.
        std::vector<std::uint8_t> unsent; ///< For it; taken up to `sent`.
        std::size_t sent = 0;
        output_interest interest;
        bool waiting_read = false;
        bool waiting_write = false;
        bool waiting_error = false;
        bool ended = false;    ///< Its end of file has been read.
        bool finished = false; ///< It has got the other's.
        bool failed = false;   ///< It takes nothing more.
    };

    side& other(const side& of) { return &of == &application_ ? target_ : application_; }
    void read(side& from);
    void wait_read(side& from);
    void wait_error(side& of);
    void wait_write(side& to);
    /// Whether the socket has taken all; if not, it is waited for, or has failed.
    bool send(side& to, bytes_view bytes);
    void on_writable(side& to);
    void on_end(side& from);
    void finish(side& to);
    void on_failed(side& of);
    void reset_when_sent(side& to);
    /// Whether the one that gets the reset has it all, or takes nothing more.
    bool has_last_words(side& to);
    void on_tick();
    void touch() { moved_ = std::chrono::steady_clock::now(); }
    void watch_time();
    std::chrono::milliseconds time_allowed() const;
    void on_timeout();
    void end(const char* why);

    self_ptr kept_; ///< Until end().
    link_thread& thread_;
    const relay_timeouts& timeouts_;
    side application_;
    side target_;
    std::string destination_;
    time_point began_ = std::chrono::steady_clock::now();
    time_point moved_ = began_;
    deadline idle_;
    deadline tick_;             ///< While last words are on their way.
    side* resetting_ = nullptr; ///< It gets a reset once all is sent.
    std::size_t in_kernel_ = 0; ///< Of what it has got, what was not sent at the last look.
    bool over_ = false;
};

} // namespace muxsocks::client
