#pragma once

/// \file
/// A stream from its SYN to its target: reads the RFC 1928 request, dials, answers with the true
/// REP and BND, and hands stream and socket to a relay.

#include "protocol/link/relay.hpp"
#include "server/dialer.hpp"
#include "server/file_places.hpp"
#include "server/name_lookups.hpp"
#include "server/told_refusals.hpp"
#include "socks5/message.hpp"

namespace muxsocks::server {

/// What the saved state of a stream's owner begins with.
enum class owner_mark : std::uint8_t { relay = 1, request = 2, association = 3 };

/// What target connections need of their worker.
struct target_services {
    dialer& targets;
    std::chrono::milliseconds request_timeout;
    const relay_timeouts& timeouts;
    told_refusals& refusals;
    file_places& files;
    name_lookups& lookups;
    const udp_settings& udp;
    own_addresses& own;
};

class target_connection final : public ref_counted<target_connection>, public stream_owner {
  public:
    /// `place` is the stream's among those of `user`.
    target_connection(driver_ptr driver, stream& s, const target_services& services,
                      std::shared_ptr<const target_policy> policy, user_account_ptr user,
                      held_place place);
    /// Waits for the request.
    void begin();

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;
    /// As begin(), with what save() has added elsewhere.
    void resume(bytes_view state);

  private:
    void on_request(socks5::request request);
    void dial(const socks5::address& dst);
    void associate();
    void resolve(const socks5::address& dst);
    void resolve_name(const socks5::address& dst);
    void on_resolved(std::error_code error, std::span<const asio::ip::address> addresses,
                     bool last);
    /// The reply, and the end of the stream.
    void answer(const socks5::reply& reply);
    /// Whether there is a file for its socket; if not, the stream is refused.
    bool take_file();
    void on_dialled(dial_result result);
    void count(const dial_result& result);
    void tell_refusal(const dial_result& result);
    void tell_failure(std::error_code error);
    void refuse(socks5::reply_code rep, const std::string& why);
    void let_go();

    driver_ptr driver_;
    boost::intrusive_ptr<target_connection> kept_; ///< The stream's reference, until it goes.
    stream* stream_;
    const target_services& services_;
    std::shared_ptr<const target_policy> policy_;
    user_account_ptr user_; ///< Whose the stream is.
    held_place place_;
    held_file file_;
    deadline limit_;
    std::vector<std::uint8_t>
        partial_; ///< The request, as far as it has come; until it is dialled.
    std::string destination_;
    dialer::dial_id dial_ = 0;
    std::chrono::steady_clock::time_point dialled_at_{};
    bool dialling_ = false;
    name_lookups::lookup_id lookup_ = 0; ///< Not 0 while a name is looked up for RESOLVE.
    bool denied_ = false;                ///< Whether it has an address that is not allowed.
};

/// A stream of a session that was handed over: goes on with what its owner has saved there.
/// `socket`: the target's, if `state` says that there is one, -1 otherwise. False if the state is
/// none.
bool resume_target(driver_ptr driver, stream& s, bytes_view state, int socket,
                   const target_services& services, std::shared_ptr<const target_policy> policy,
                   user_account_ptr user);
/// Whether the state goes with a socket.
bool target_has_socket(bytes_view state);

} // namespace muxsocks::server
