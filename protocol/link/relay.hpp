#pragma once

/// \file
/// One stream and one local socket. What the socket gives is read only when the stream's turn on
/// the link has come, straight into the turn; what the stream brings is written at once, and only
/// what the socket does not take stays in the session. Ends are passed on as they are: FIN as a
/// half-close, RST as RST. While it is quiet it holds a wait for readability and nothing else.
///
/// No end takes away what was said before it. A socket that takes nothing more is still read to its
/// end or error, as credit comes, and RST follows behind that; a stream that has ended by RST is
/// still written to the socket, as long as that takes it, before the socket is reset.

#include "protocol/link/loop/output_interest.hpp"
#include "protocol/link/loop/socket_ends.hpp"
#include "protocol/link/loop/tcp_keepalive.hpp"
#include "protocol/link/session_driver.hpp"

#include <memory>

namespace muxsocks {

struct relay_timeouts {
    std::chrono::milliseconds idle{0};        ///< No byte either way; 0: never.
    std::chrono::milliseconds half_closed{0}; ///< One direction ended and no byte; 0: never.
    tcp_keepalive keepalive;                  ///< Of the socket.
};

class relay : public ref_counted<relay>, public stream_owner {
  public:
    relay(driver_ptr driver, tcp_socket socket, const relay_timeouts& timeouts);
    virtual ~relay();

    /// Takes the stream over: becomes its owner, waits for the socket, delivers what has come.
    void start(stream& s);

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot& slot) override;
    void on_read_failed() override;
    void on_parked() override;
    void on_timeouts_changed() override;
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;

    /// What save() adds.
    static constexpr std::size_t state_size = 26;
    /// As start(), for a stream whose relay was saved elsewhere; `state` has state_size bytes. The
    /// socket is touched only when the thread runs.
    void resume(stream& s, bytes_view state);
    void describe(shown_stream& to) const override;

  protected:
    /// The first received bytes are about to be written. Returns whether they may be; if not, the
    /// class waits for more of them, or has ended the relay.
    virtual bool on_first_bytes(std::span<const bytes_view>) { return true; }
    /// The local socket has an end of file before any byte of the stream has come. Returns whether
    /// that cancels the stream.
    virtual bool early_end_cancels() const { return false; }
    /// All of the stream has been written and its end is about to go to the socket. Returns whether
    /// the class has dealt with the socket itself, and ended the relay.
    virtual bool on_stream_end() { return false; }
    /// The stream has ended by RST before anything was delivered; the socket is about to be reset.
    /// Returns whether the class has dealt with the socket itself.
    virtual bool on_reset_before_bytes(std::error_code) { return false; }
    /// The relay is over.
    virtual void on_ended(std::error_code) {}

    void wait_readable();
    void wait_writable();
    void finish_local(); ///< Closes the socket in the normal way and lets go of the stream.
    void reset_local();  ///< Closes the socket with RST.
    void end(std::error_code why);

    driver_ptr driver_;
    tcp_socket socket_;
    stream* stream_ = nullptr;
    std::uint64_t bytes_up_ = 0; ///< From the socket into the stream.
    std::uint64_t bytes_down_ = 0;
    std::chrono::steady_clock::time_point began_;

  private:
    /// What is left to be said while the other end of the stream, or of the socket, is a reset.
    /// It costs memory only where there is such an end.
    struct last_words {
        last_words(deadlines& clock, unique_function<void()> on_tick)
            : tick(clock, std::move(on_tick)) {}
        deadline tick;
        std::chrono::steady_clock::time_point moved;
        std::uint64_t position = 0; ///< Changes as the words go on.
        int error = 0;              ///< From the socket: why it takes nothing more.
        std::error_code why;        ///< Into the socket: how the stream has ended.
    };

    /// On the list of what is parked; kept from the first time on, as bulk is parked often.
    struct parking final : parked_socket {
        explicit parking(relay& one) : of(one) {}
        parking(const parking&) = delete;
        parking& operator=(const parking&) = delete;
        ~parking() { leave(); }
        bool look() override;
        void leave();
        relay& of;
    };
    /// What the socket has for the stream is not read.
    void park();
    /// It is read again, or nobody's here any more.
    void unpark();
    void go_on(int error);
    void on_local_readable();
    void deliver();
    void on_local_error();
    void on_output_failed(int error);
    bool output_failed() const { return last_words_ && last_words_->error != 0; }
    last_words& begin_last_words();
    void on_last_words_tick();
    void reset_when_written();
    void check_done();
    void touch();
    void on_timeout();
    void watch_time();
    std::chrono::milliseconds time_allowed() const;

    boost::intrusive_ptr<relay> kept_; ///< The stream's reference, until end().
    const relay_timeouts& timeouts_;
    std::unique_ptr<deadline> timeout_;
    std::chrono::steady_clock::time_point moved_;
    std::unique_ptr<last_words> last_words_;
    std::unique_ptr<parking> parking_;
    output_interest output_interest_;
    bool waiting_read_ = false;
    bool waiting_write_ = false;
    bool waiting_error_ = false;
    bool local_ended_ = false;  ///< The socket's end of file has gone into the stream.
    bool stream_ended_ = false; ///< The stream's end has gone to the socket.
};

} // namespace muxsocks
