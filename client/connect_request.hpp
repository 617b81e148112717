#pragma once

/// \file
/// An application's wish for one connection, of whichever protocol: SOCKS, or HTTP's CONNECT; or
/// for the address of a name (RESOLVE) or the other way round (RESOLVE_PTR), which is a connection
/// that ends behind the reply. The
/// socket is here until there is a stream, and then the relay's.

#include "client/answer_language.hpp"
#include "client/end_watch.hpp"

namespace muxsocks::client {

class connect_request final : public pending_request {
  public:
    /// `early` is what the application has sent right behind its request.
    connect_request(link_thread& thread, tcp_socket socket, const socks5::address& target,
                    std::vector<std::uint8_t> early, const answer_language& language,
                    socks5::command cmd = socks5::command::connect);

    void begin(driver_ptr driver, request_sink& sink) override;
    void refuse(const refusal& why) override;
    void watch(std::function<void()> gone) override;
    bool outlives_half_close() const override { return language_->is_unheard(); }
    std::optional<socks5::address> target() const override;
    wish asks_for() const override;
    void begin_direct(tcp_socket target, direct_dialer& by) override;
    void tell(const socks5::address& found) override;
    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;

    /// All but the socket, for another process, and one there without a socket; null for a state
    /// that is none.
    std::vector<std::uint8_t> save();
    static boost::intrusive_ptr<connect_request> load(link_thread& thread, bytes_view state);

    /// RFC 1928 request as it goes into the stream.
    const std::vector<std::uint8_t>& request() const { return request_; }
    const std::vector<std::uint8_t>& early() const { return early_; }
    const answer_language& language() const { return *language_; }
    /// The stream has come to nothing: another one, or a refusal, needs the socket again.
    void take_back(tcp_socket socket) { socket_ = std::move(socket); }

  private:
    explicit connect_request(link_thread& thread)
        : thread_(thread), socket_(thread.context().get_executor()), language_(&socks5_answers()) {}
    template <class Fields>
    bool each_field(Fields& fields);

    link_thread& thread_;
    tcp_socket socket_;
    std::vector<std::uint8_t> request_;
    std::vector<std::uint8_t> early_;
    const answer_language* language_;
    end_watch end_watch_; ///< While it waits.
};

/// The relay of one such request: waits for the stream to open and for the whole reply, which it
/// passes on or puts into the application's language, and gives the request back when there will
/// be none.
class client_relay final : public relay {
  public:
    using request_type = boost::intrusive_ptr<connect_request>;
    client_relay(driver_ptr driver, request_type request, tcp_socket socket, request_sink& sink);
    /// One whose reply, with that REP, has been passed on.
    client_relay(driver_ptr driver, tcp_socket socket, request_sink& sink, std::uint8_t rep,
                 std::string destination);

    void begin();
    /// Where the reply has been passed on: takes the stream over.
    void begin(stream& s) {
        id_ = s.id;
        start(s);
    }
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    /// A stream of a session that another process has handed over. False for a state that is none;
    /// the socket stays the caller's then.
    static bool resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                       request_sink& sink);

  private:
    using relay::resume;
    void on_notice(const notice_frame& told) override;
    bool on_first_bytes(std::span<const bytes_view> bytes) override;
    bool early_end_cancels() const override { return opening_ && !is_unheard_; }
    bool on_stream_end() override;
    bool on_reset_before_bytes(std::error_code why) override;
    void on_ended(std::error_code why) override;
    void describe(shown_stream& to) const override;
    void replace_reply(std::size_t used, bytes_view words);
    /// Whether another session may have the request, after this one's stream has ended.
    bool can_go_elsewhere(std::error_code why, const connect_request& request) const;
    void on_wait_over();
    /// The server has refused it, and the application hears that as a reset only.
    void end_unheard();
    /// There will be no reply: the stream has ended before, or what came is none.
    void on_no_reply();

    /// What is needed until the reply is there.
    struct opening_state {
        opening_state(request_type from, deadlines& clock, unique_function<void()> on_wait_over)
            : request(std::move(from)), wait(clock, std::move(on_wait_over)) {}
        request_type request; ///< Its socket is the relay's.
        deadline wait;
        std::string told; ///< Why the server is about to refuse it, for who can read that.
    };
    std::unique_ptr<opening_state> opening_;
    request_sink& sink_;
    std::string destination_;
    std::uint32_t id_ = 0;
    static constexpr std::uint8_t no_reply = 0xff;
    std::uint8_t rep_ = no_reply; ///< REP of the reply that has come.
    bool is_unheard_ = false;
};

} // namespace muxsocks::client
