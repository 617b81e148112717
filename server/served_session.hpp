#pragma once

/// \file
/// One session of the server: who its user is, what the user may reach, and what becomes of it when
/// its link is gone.

#include "protocol/program/descriptor_list.hpp"
#include "protocol/session/state.hpp"
#include "server/rate_share.hpp"
#include "server/user_bar.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// What of a session's state is its owner's.
struct served_owner {
    boost::asio::ip::address peer;
    std::string subject;
    digest key{};
};
std::vector<std::uint8_t> encode(const served_owner& owner);
std::optional<served_owner> decode_served_owner(bytes_view bytes);

class served_session final : private session_driver::delegate {
  public:
    served_session(worker& at, admission::ticket ticket, boost::asio::ip::address peer,
                   may_begin_as as);
    /// A session that another process has handed over, with the sockets of its streams; what it is
    /// made of is known to be whole. It waits for its client.
    served_session(worker& at, const session_state& from, const served_owner& owner);
    ~served_session();

    /// After the constructor for a session that was handed over; its user is known.
    void resume(const session_state& from, descriptor_list sockets);
    /// Whether save() may be called now.
    bool may_be_saved() const { return registered_ && driver_->may_be_saved(); }
    session_state save(std::vector<int>& sockets);
    /// The session is another process's; to be forgotten.
    void on_handed_over() { driver_->on_handed_over(); }

    std::size_t begin(link_ptr on, bytes_view first);
    /// Whether the link has the client certificate that the session began with, or both have none.
    bool may_join(const link& next) const;
    /// As session_driver::join(); the link comes `from` there.
    std::optional<join_fail_frame> join(link_ptr next, const boost::asio::ip::address& from,
                                        const join_frame& frame, bytes_view behind,
                                        std::size_t& used);

    const session_id& id() const { return driver_->core().id(); }
    session_driver& driver() { return *driver_; }
    const session_driver& driver() const { return *driver_; }
    /// Whether no stream is left and all that they sent has arrived.
    bool idle() const { return driver_->all_delivered(); }
    void go_away(close_code code, std::string_view text);
    /// While it has not authenticated: its place among those that have not.
    admission::link_id place() const { return ticket_.id(); }
    /// Its place was given to a newcomer.
    void give_way();
    void close(close_code code, std::error_code why, std::string_view text);
    /// After a reload: new rules, or the end if the user is gone.
    void on_reload();
    /// Time has passed: whether its user may still go on.
    void look_at_user(std::chrono::system_clock::time_point now);
    /// None before it has authenticated.
    const user_account_ptr& account() const { return account_; }
    /// It is forgotten: others of its user may have all of the user's time.
    void give_share() { share_ = {}; }
    /// What it has moved since the last time.
    traffic take_traffic();
    /// For the log: without what would change its lines.
    std::string name() const;
    std::string unescaped_name() const;

  private:
    void on_established(session_driver& from) override;
    void on_opened(session_driver& from, stream& opened) override;
    void on_goaway(session_driver&) override {}
    void on_detached(session_driver& from, std::error_code why, const std::string& text) override;
    void on_attached(session_driver& from) override;
    void on_link_gone(session_driver& from, link_number, std::error_code,
                      const std::string& text) override;
    void on_link_wanted(session_driver&) override {}
    void on_notice(session_driver&, const stream*, const notice_frame&) override {}
    void on_joined(session_driver&, link_number) override {}
    void on_join_failed(session_driver&, const join_fail_frame&, link_ptr) override {}
    void on_join_lost(session_driver&, std::error_code, const std::string&) override {}
    void on_closed(session_driver& from, std::error_code why, const std::string& text) override;
    duration answer_delay(session_driver& from, std::error_code why) override;

    /// Who shares what is scarce with others: the user, or where there are none the certificate's
    /// subject or the client's address.
    std::string whose() const;
    void wait_for_client();
    session_settings make_settings(may_begin_as as);
    void enlist();
    /// What the session takes besides its buffers, in bytes.
    std::size_t own_bytes() const;
    void charge_detached(std::size_t bytes);

    // served_session_user.cpp: on which terms its user has it.
    /// Its user's account, and what is charged to it from here on.
    void charge_to_user(const user_record& user);
    /// Its streams keep to the user's rates, as they are now.
    void keep_to_rates();
    bool keeps_to_rates() const;
    std::optional<notice_frame> why_barred(const user_terms& terms, wall_time now) const;
    void tell_slowed(const user_terms& terms);
    /// Whether the user may have one session more, perhaps for one that has no link.
    bool take_place();
    /// Returns false.
    bool refuse_session(const std::string& why, close_code code);
    /// Counts its links for its user, as many as there are now.
    void count_links();
    /// What a link from there counts as, for `max_addresses`; nothing where they are not counted.
    std::optional<boost::asio::ip::address>
    counted_address(const boost::asio::ip::address& from) const;
    bool may_come_from(const boost::asio::ip::address& from) const;
    void tell_refused_link(const boost::asio::ip::address& from) const;
    /// Whether the stream was refused.
    bool refuse_stream(session_driver& from, stream& opened, const held_place& place);

    worker& worker_;
    admission::ticket ticket_; ///< Until it has authenticated.
    boost::asio::ip::address peer_;
    std::string subject_; ///< Of the client's certificate.
    std::shared_ptr<const target_policy> policy_;
    user_account_ptr account_; ///< From its authentication on.
    user_shares::held share_;
    held_place place_;
    std::vector<held_place> links_;                      ///< One for each of its links.
    std::optional<boost::asio::ip::address> counted_at_; ///< Among the user's addresses.
    user_bar bar_;
    bool told_slowed_ = false;
    traffic counted_;                     ///< What take_traffic() has returned, all together.
    std::unique_ptr<rate_share> rate_up_; ///< Where its user has one.
    std::unique_ptr<rate_share> rate_down_;
    digest key_{};
    deadline expiry_;                  ///< Of the detached session.
    std::size_t charged_detached_ = 0; ///< To its user, for what a detached session is itself.
    driver_ptr driver_;
    bool registered_ = false;
    bool was_up_ = false;
    bool begun_late_ = false; ///< While the server stops.
};

} // namespace muxsocks::server
