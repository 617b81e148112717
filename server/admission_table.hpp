#pragma once

/// \file
/// Which links that have not authenticated keep their places. No newcomer is turned away for
/// somebody who says nothing: when all places are taken, or all of its host, the first of these
/// goes that there is:
///
///     1. a link that has failed to authenticate, or has not said a word for a quarter of a second;
///     2. one that has been shaking hands for 2 s;
///     3. one of a block that holds more than a quarter of all places, if the newcomer is of
///     another;
///     4. one that has come just now and may be heard in a moment: of such a block, if the newcomer
///     is of that.
///
/// and of several the one in the fullest block of addresses, looked for from wide to narrow (IPv4
/// /24, /32; IPv6 /48, /56, /64), there the one furthest from having authenticated, and of these
/// the oldest. Only where all are in the midst of their handshakes, and from many places, a
/// newcomer has to try again: otherwise nobody of a crowd that comes at once would get to the end.
/// Hosts that authenticated lately have places of their own, which strangers cannot take.
///
/// A host that fails again and again waits before it is served, longer each time, and so do those
/// of a block (IPv4 /24, IPv6 /48) from which TLS handshakes come without end.
///
/// No clock, no lock, no socket: admission has them. Where links have to go of which nothing has
/// been heard, several go at once, a 64th of the places, so that the search for them costs a flood
/// of newcomers little.

#include "server/networks.hpp"

#include <boost/asio/ip/address.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace muxsocks::server {

/// Whom an address counts for: one host has a whole /64 of IPv6.
boost::asio::ip::address host_of(const boost::asio::ip::address& address);

/// How far a link is on its way to authenticate.
enum class link_progress : std::uint8_t {
    failed,    ///< It only waits to be told so.
    connected, ///< Not a byte yet.
    shaking_hands,
    encrypted,
    speaking, ///< HELLO has come.
};

class admission_table {
  public:
    using address = boost::asio::ip::address;
    using time_point = std::chrono::steady_clock::time_point;
    using link_id = std::uint64_t;

    struct limits {
        /// For strangers, and as many again for hosts that authenticated lately.
        std::size_t links = 256;
        std::size_t links_per_host = 8;
    };

    explicit admission_table(limits within) : limits_(within) {}
    void set_limits(limits within) { limits_ = within; }

    struct entry {
        link_id id = 0;               ///< 0: there was no place.
        std::vector<link_id> must_go; ///< They have left already.
    };
    /// `exempt`: its address is not limited by itself.
    entry enter(const address& from, bool exempt, time_point now);
    /// The link comes from another address than it seemed (PROXY header). Without a place there it
    /// has left.
    entry move_to(link_id id, const address& from, bool exempt, time_point now);
    void on_progress(link_id id, link_progress to);
    void leave(link_id id);
    [[nodiscard]] bool has(link_id id) const { return links_.contains(id); }
    [[nodiscard]] std::size_t size() const { return links_.size(); }

    void on_success(const address& from, time_point now);
    /// A link ended without having authenticated.
    void on_failure(const address& from, time_point now);
    /// How long a new link from there waits: nothing up to three failures, then 0.25 s, doubling to
    /// 4 s, of which a client waits 5. Hosts that authenticated lately do not wait.
    [[nodiscard]] std::chrono::milliseconds pause(const address& from, time_point now) const;
    /// One more TLS handshake from there: how long it waits for its turn. Of a block 128 at once
    /// and 32 a second do not, others up to 4 s; those of hosts that authenticated lately never do.
    [[nodiscard]] std::chrono::milliseconds take_handshake(const address& from, time_point now);

  private:
    struct place {
        std::array<address, 3> blocks; ///< From wide to narrow; the last one is the host.
        time_point since;
        link_progress progress = link_progress::connected;
        bool known = false;
        bool exempt = false;
    };
    struct failures {
        unsigned count = 0;
        time_point last;
    };
    using links = std::map<link_id, place>;

    [[nodiscard]] bool is_known(const address& host, time_point now) const;
    void insert(link_id id, const address& from, bool exempt, time_point now);
    entry make_room(link_id for_whom, time_point now);
    using places = std::vector<links::const_iterator>;
    template <typename Among>
    [[nodiscard]] places places_of(Among among) const;
    template <typename Among>
    [[nodiscard]] std::vector<link_id> choose_to_go(Among among, time_point now,
                                                    std::size_t silent_ones) const;
    /// Where nobody has been silent or busy for long.
    template <typename Among>
    [[nodiscard]] std::vector<link_id> choose_of_crowd(Among of_pool, const place& newcomer,
                                                       std::size_t unheard_ones) const;
    template <typename Among>
    [[nodiscard]] std::vector<link_id> choose_unheard(Among among, std::size_t count) const;
    static std::size_t only_fullest(places& left, std::size_t width);
    static std::vector<link_id> choose(places left, std::size_t count = 1);

    limits limits_;
    links links_;                            ///< In the order in which they came.
    std::map<address, std::size_t> of_host_; ///< Of those that are not exempt.
    std::array<std::size_t, 2> of_pool_{};   ///< Of strangers, and of known hosts.
    std::map<address, time_point> known_;
    std::map<address, failures> failed_;
    std::map<address, time_point> paced_; ///< Blocks, and until when their handshakes are spread.
    link_id last_id_ = 0;
};

} // namespace muxsocks::server
