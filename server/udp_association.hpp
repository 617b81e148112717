#pragma once

/// \file
/// A UDP association of a client (docs/PROTOCOL.md, "Datagrams"): its socket, which lives as long
/// as its stream, links or not; datagrams out as they come, names looked up for each; datagrams in
/// when its turn on a link has come.

#include "protocol/link/loop/outgoing_datagrams.hpp"
#include "protocol/link/session_driver.hpp"
#include "server/file_places.hpp"
#include "server/name_lookups.hpp"
#include "server/udp_rules.hpp"
#include "socks5/address.hpp"

#include <deque>
#include <unordered_map>

namespace muxsocks::server {

/// What an association holds of its user's.
struct udp_places {
    held_place stream;
    held_place association;
    held_file file;
};

class udp_association final : public ref_counted<udp_association>, public stream_owner {
  public:
    /// A name's addresses are used for so long, and so many names are remembered.
    static constexpr std::chrono::seconds name_age_max{60};
    static constexpr std::size_t names_max = 64;
    /// Datagrams that wait for names to be looked up; one more takes the place of the oldest.
    static constexpr std::size_t waiting_max = 8;
    /// Of all of them together: nobody's memory is charged for them.
    static constexpr std::size_t waiting_bytes_max = 16 * 1024;
    static constexpr std::size_t addresses_max = 8; ///< Of one name.

    udp_association(driver_ptr driver, name_lookups& names, const udp_settings& settings,
                    udp_rules rules, user_account_ptr user, udp_places places);
    /// Opens the socket. With an error nothing has happened.
    std::error_code open() { return socket_.bind_any(); }
    /// Takes the stream over, whose request has been read, and says that there is a socket.
    void begin(stream& s);

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    datagram_result read_datagram(bytes_span place) override;
    bool on_datagram(bytes_view bytes) override;
    void on_datagrams_over() override;
    void on_timeouts_changed() override;
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;
    /// As begin(), with what save() has added elsewhere behind its mark; the socket is touched only
    /// when the thread runs. False if the state is none: the socket is the caller's then.
    bool resume(stream& s, bytes_view state, int socket);

  private:
    using endpoint = asio::ip::udp::endpoint;
    using time_point = std::chrono::steady_clock::time_point;

    struct name {
        std::vector<asio::ip::address> addresses; ///< Empty: being looked up, or without any.
        time_point known_until{};
        name_lookups::lookup_id lookup = 0; ///< Not 0 while it goes on.
    };
    struct waiting_datagram {
        std::string host;
        std::uint16_t port = 0;
        std::vector<std::uint8_t> bytes;
    };

    template <class Fields>
    void each_field(Fields& fields);
    void go_on();
    void wait_readable();
    /// Writes ATYP, ADDR and PORT in front of a datagram that begins `room` bytes behind `place`;
    /// returns the size of both. What does not begin where they end is moved.
    static std::size_t lay_address(bytes_span place, std::size_t room, std::size_t bytes,
                                   const endpoint& from);
    /// To be sent with others; returns whether it is the first of them.
    bool collect(bytes_view bytes, const endpoint& to);
    void send_outgoing();
    bool send(bytes_view bytes, const endpoint& to);
    void send_to_name(const socks5::address& to, bytes_view bytes);
    void send_to_first(const std::vector<asio::ip::address>& addresses, std::uint16_t port,
                       bytes_view bytes);
    void look_up(const std::string& host);
    void on_addresses(const std::string& host, std::span<const asio::ip::address> addresses,
                      bool last);
    void make_room_for_name();
    void touch() { moved_ = std::chrono::steady_clock::now(); }
    void on_idle();
    void close();
    /// FIN; the peer's own follows.
    void finish();
    void let_go();

    driver_ptr driver_;
    boost::intrusive_ptr<udp_association> kept_; ///< The stream's reference, until it goes.
    stream* stream_ = nullptr;
    name_lookups& lookups_;
    const udp_settings& settings_;
    udp_rules rules_;
    user_account_ptr user_;
    udp_places places_;
    datagram_socket socket_;
    bool waiting_ = false;    ///< Whether the socket is waited for.
    bool last_was_v4_ = true; ///< Where the next datagram is guessed to begin.
    deadline idle_;
    time_point moved_{};
    std::unordered_map<std::string, name> names_;
    std::deque<waiting_datagram> waiting_datagrams_;
    outgoing_datagrams outgoing_; ///< Until on_datagrams_over().
    std::size_t waiting_bytes_ = 0;
    std::uint64_t up_ = 0; ///< Datagrams that went to their destinations, and from them.
    std::uint64_t down_ = 0;
    std::uint64_t denied_ = 0;
    std::uint64_t too_old_ = 0;
    std::uint64_t lost_ = 0; ///< For a name without address, or a socket without room.
};

} // namespace muxsocks::server
