#pragma once

/// \file
/// One connected socket with its TLS engine (or none, on a plain link): large reads, decrypted and
/// handed on in place; whatever is sent is encrypted into one output buffer and written at once. It
/// knows nothing of sessions: its owner does, and the owner changes once it is known whose link
/// this is.
///
/// Idle, it holds no buffer: ciphertext and plaintext pass through the thread's scratch buffers,
/// and only an incomplete frame is kept.

#include "protocol/link/link_thread.hpp"
#include "protocol/link/loop/output_interest.hpp"
#include "protocol/link/loop/socket_queue.hpp"
#include "protocol/link/tls/tls_engine.hpp"

#include "protocol/link/loop/ref_counted.hpp"
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <optional>
#include <string>

namespace muxsocks {

struct link_options {
    std::string congestion;                         ///< As set_congestion() takes it.
    std::chrono::milliseconds user_timeout{35'000}; ///< TCP_USER_TIMEOUT.
    /// TCP_NOTSENT_LOWAT at first; socket_queue goes on from there.
    unsigned notsent_lowat = standing_queue::unsent_max;
    /// TCP_MAXSEG, which the peer keeps to as well if it is set before the connect; 0: none.
    std::uint32_t segment_max = 0;
};

/// Sets what every link's socket needs. Failures are not worth a link.
void set_link_options(int descriptor, const link_options& options);

/// TCP_CONGESTION; empty: the system's. "auto" is decided once the socket is connected, for which
/// it is to be called again: bbr where the kernel has it and the round trip is above a millisecond.
/// Below that loss is mended at once, and BBR's pacing costs more than it brings.
void set_congestion(int descriptor, const std::string& name);

class link : public ref_counted<link> {
  public:
    class owner {
      public:
        /// TLS is up (or the link is plain): the first bytes may be sent.
        virtual void on_link_up(link& from) = 0;
        /// Plaintext, beginning at a frame; returns what was taken. The rest comes again.
        virtual std::size_t on_link_bytes(link& from, bytes_view bytes) = 0;
        /// All output has been written after some had to wait.
        virtual void on_link_writable(link& from) = 0;
        /// The link is gone; `text` is a sentence for the log. Never after close().
        virtual void on_link_down(link& from, std::error_code error, const std::string& text) = 0;

      protected:
        ~owner() = default;
    };

    link(link_thread& thread, tcp_socket socket, std::optional<tls_engine> engine);
    ~link();

    /// Begins: the TLS handshake, or at once on_link_up. `early`: bytes already read from the
    /// socket.
    void start(owner& to, bytes_view early = {});
    void set_owner(owner& to) { owner_ = &to; }
    /// Its work is done within this share of each round; without one, at once.
    void set_share(share_ptr share) { share_ = std::move(share); }
    bool belongs_to(const owner& one) const { return owner_ == &one; }

    /// Encrypts and appends to the output; flush() writes it.
    void send(bytes_view plaintext);
    /// Bytes that wait for flush, or that the socket did not take.
    std::size_t output_size() const { return output_.size(); }
    /// Memory of what the socket did not take; idle, and while it takes all, there is none.
    std::size_t output_held() const { return waiting_write_ ? output_.capacity() : 0; }
    /// Whether the socket did not take all: on_link_writable will follow.
    bool output_stuck() const { return waiting_write_; }
    void flush();
    /// How much to send() before a flush(): little on a slow link, where all of it stands in front
    /// of what comes next.
    std::size_t batch_bytes() const { return queue_.batch_bytes(); }
    /// A small message has gone out of a stream that is not alone.
    void on_small_message() { queue_.on_small_message(); }
    /// There is nothing left to send.
    void on_idle() { queue_.on_idle(); }
    /// What TCP knows of the path; a system call.
    path_facts path() const { return is_open() ? queue_.facts() : path_facts(); }
    bool has_bbr() const { return is_open() && queue_.has_bbr(); }
    std::size_t bound_bytes() const { return queue_.bound_bytes(); }
    /// It carries little, on a long path: so that small messages find room on it at any time.
    void keep_window(instant now) {
        if (is_open()) queue_.keep_window(now);
    }
    /// While it is not known whose the link is: it reads little at a time, and nothing while much
    /// of what its TLS answers waits for the socket. A link is trusted until it is said otherwise.
    void set_trusted(bool on);
    void set_reading(bool on);
    bool reading() const { return reading_; }

    /// Ends the link without a word to the owner: what waits is still written, with close_notify,
    /// for two seconds at most.
    void close();
    /// Ends the link at once; `why` is for who counts.
    void abort(std::error_code why = {});
    bool is_open() const { return state_ == state::handshake || state_ == state::up; }

    /// 32 bytes, or none on a plain link.
    std::vector<std::uint8_t> exporter() const;
    const std::optional<tls_engine>& engine() const { return engine_; }
    link_thread& thread() { return thread_; }
    /// When TLS was up.
    std::chrono::steady_clock::time_point since() const { return since_; }
    /// "192.0.2.1:443"; empty if unknown.
    std::string peer_text() const;

    /// Everything that makes a link, for another thread.
    struct parts {
        int descriptor = -1;
        std::optional<tls_engine> engine;
        std::vector<std::uint8_t> received; ///< Plaintext that no one has taken.
    };
    /// Takes the link apart; this object is dead afterwards. `received` are the bytes to go along.
    parts take_apart(bytes_view received);
    /// Goes on with a link that another thread has taken apart; TLS is up.
    void start_up(owner& to, std::vector<std::uint8_t> received);
    /// Hands bytes that wait here to the owner again.
    void deliver_again();
    /// Whether the owner has left whole frames for another round of the event loop: as long as it
    /// does, less is read at a time, so that little waits here.
    void on_frames_left(bool any);

  private:
    static constexpr std::size_t distrusted_read_max = 16 * 1024;
    static constexpr std::size_t distrusted_output_max = 64 * 1024;

    enum class state : std::uint8_t { created, handshake, up, closing, closed };

    void wait_read();
    /// Whether what it has provoked must go out before more is read.
    bool must_drain() const { return !trusted_ && output_.size() > distrusted_output_max; }
    /// The socket has something.
    void take_input();
    void on_readable();
    void receive(bytes_view ciphertext);
    /// Hands the first `size` bytes of the plaintext scratch to the owner; keeps what is left.
    void deliver(std::size_t size);
    void wait_write();
    void wait_room();
    void on_writable();
    /// Writes what the path has room for; whether more has to wait for that, not for the socket.
    bool write_out();
    void down(std::error_code error, std::string text);
    /// The peer is gone, perhaps with thousands of others, and nobody waits for that to be known.
    void down_behind(std::error_code error, std::string text);
    void on_up();
    void drain_input();
    void close_socket();
    bytes_span scratch();
    /// Lays the kept begin of a frame before the bytes that were just received behind it.
    void put_tail_first();
    /// Hands on what waits until the owner takes no more of it: nothing follows.
    void deliver_all();
    bytes_view tail() const { return bytes_view(tail_).subspan(tail_taken_); }

    link_thread& thread_;
    tcp_socket socket_;
    std::optional<tls_engine> engine_;
    owner* owner_ = nullptr;
    share_ptr share_;
    output_buffer output_;
    /// The begin of a frame that has not come whole, or frames that the owner has left.
    std::vector<std::uint8_t> tail_;
    std::size_t tail_taken_ = 0; ///< Of the tail.
    std::size_t read_max_ = link_thread::ciphertext_size;
    std::unique_ptr<deadline> linger_;
    std::unique_ptr<deadline> room_; ///< On long paths: when there may be room in flight.
    state state_ = state::created;
    socket_queue queue_;
    output_interest output_interest_;
    std::chrono::steady_clock::time_point since_; ///< It was made, and then, that TLS was up.
    bool reading_ = true;
    bool trusted_ = true;
    bool waiting_read_ = false;
    bool waiting_write_ = false;
    bool delivering_ = false;
};

using link_ptr = boost::intrusive_ptr<link>;

} // namespace muxsocks
