#pragma once

/// \file
/// A line between a client and a server, a TCP connection of each of the client's links on it, and
/// the client's policy above, all on one scripted clock. The line has a rate and may swallow
/// packets above some size without a word; the session sends records of 16 KiB that are
/// acknowledged whole, and begins anew on each link with what was not.

#include "client/link_policy.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace muxsocks::client {

struct line_model {
    static constexpr duration tick = std::chrono::milliseconds(10);

    struct message {
        enum class kind { hello, flight, resume, resume_ok, record, ack, ping, pong } what;
        std::size_t bytes;
    };

    /// One direction of a TCP connection: whole segments, in order.
    struct direction {
        std::deque<message> queue;
        std::size_t queued = 0;
        double ready = 0; ///< Bytes of the segment at the head that the line has carried.
        std::uint64_t arrived = 0;
        instant moved{};
        bool stuck = false;

        void put(message one) {
            queue.push_back(one);
            queued += one.bytes;
        }
    };

    struct link {
        direction up;
        direction down;
        std::size_t segment = 1448;
        instant begun{};
    };

    // ---- What is scripted.

    double up_rate = 1e9; ///< Bytes a second.
    double down_rate = 1e9;
    std::size_t mtu = 1500; ///< Larger packets vanish.
    std::size_t hello_bytes = 500;
    std::size_t flight_bytes = 900;
    bool server_answers = true; ///< Whether the server's process runs; its TCP does in any case.
    bool listens = true;
    std::size_t upload = 0; ///< Bytes that the application has for the server, and the reverse.
    std::size_t download = 0;

    // ---- What comes of it.

    std::size_t uploaded = 0;
    std::size_t downloaded = 0;
    unsigned dials = 0;
    unsigned links = 0; ///< That carried the session.
    bool given_up = false;
    std::vector<std::string> doubts;
    std::optional<std::uint32_t> hole;

    link_policy policy{1};
    instant now{std::chrono::hours(1)};

    line_model() { policy.set_resumable(true); }

    bool done() const { return uploaded == upload && downloaded == download; }
    /// Runs until the condition holds; whether it did within that time.
    bool run_until(const std::function<bool()>& condition, duration most) {
        for (const auto end = now + most; now < end; step())
            if (condition()) return true;
        return condition();
    }
    void run(duration time) {
        run_until([] { return false; }, time);
    }
    void lose() {
        const auto seen = facts();
        current.reset();
        carry_out(policy.on_link_lost(seen, now));
    }
    void start() { carry_out(policy.start(now)); }

    void step() {
        now += tick;
        if (connects_at && now >= *connects_at) connect();
        carry(dialled.get());
        carry(current.get());
        if ((now.time_since_epoch() % std::chrono::seconds(1)).count() == 0) look();
        carry_out(policy.on_deadline(now));
        if (const auto found = policy.take_hole()) hole = found;
    }

    std::unique_ptr<link> current;
    std::unique_ptr<link> dialled;

  private:
    static constexpr std::size_t record_max = 16 * 1024;
    static constexpr std::size_t headers = 52; ///< Of IPv4 and TCP, with timestamps.

    void carry_out(const link_policy::orders& given) {
        if (given.abandon) {
            dialled.reset();
            connects_at.reset();
        }
        if (given.doubt) doubts.emplace_back(given.doubt);
        if (given.probe && current) current->up.put({message::kind::ping, 37});
        if (given.give_up) {
            given_up = true;
            current.reset();
            policy.on_session_over();
        }
        if (given.time_out) {
            const auto path = path_of(*dialled);
            dialled.reset();
            carry_out(policy.on_dial_failed(link_policy::failure::passing, &path, now));
        }
        if (given.dial) {
            ++dials;
            connects_at = now + std::chrono::milliseconds(50);
        }
    }

    void connect() {
        connects_at.reset();
        if (!listens)
            return carry_out(policy.on_dial_failed(link_policy::failure::passing, nullptr, now));
        dialled = std::make_unique<link>();
        dialled->begun = now;
        if (const auto most = policy.segment_bytes()) dialled->segment = most - 12;
        dialled->up.moved = dialled->down.moved = now;
        dialled->up.put({message::kind::hello, hello_bytes});
        policy.on_connected(now);
    }

    void carry(link* on) {
        if (!on) return;
        const bool lone = !current || !dialled;
        carry(*on, on->up, up_rate * (lone ? 1 : 0.5));
        if (on == current.get() || on == dialled.get())
            carry(*on, on->down, down_rate * (lone ? 1 : 0.5));
    }

    void carry(link& on, direction& way, double rate) {
        const bool upward = &way == &on.up;
        way.ready += rate * std::chrono::duration<double>(tick).count();
        while (way.queued > 0) {
            const auto segment = std::min(on.segment, way.queued);
            way.stuck = segment + headers > mtu;
            if (way.stuck || way.ready < static_cast<double>(segment)) return;
            way.ready -= static_cast<double>(segment);
            way.arrived += segment;
            way.queued -= segment;
            way.moved = now;
            auto left = segment;
            while (left > 0) {
                auto& first = way.queue.front();
                const auto part = std::min(left, first.bytes);
                left -= part;
                first.bytes -= part;
                if (first.bytes > 0) break;
                const auto what = first.what;
                way.queue.pop_front();
                if (!arrive(on, what, upward)) return;
            }
        }
        way.ready = 0;
    }

    /// Whether the link is still there.
    bool arrive(link& on, message::kind what, bool upward) {
        using kind = message::kind;
        switch (what) {
        case kind::hello:
            if (server_answers) on.down.put({kind::flight, flight_bytes});
            return true;
        case kind::flight: {
            const auto orders = policy.on_secured(links > 0, now);
            carry_out(orders);
            if (orders.abandon) return false;
            on.up.put({kind::resume, 120});
            return true;
        }
        case kind::resume:
            if (!server_answers) return true;
            // What is sent again goes out right behind the answer, in the same segments.
            on.down.put({kind::resume_ok, 100});
            if (links > 0) put_records(on.down, download - downloaded);
            return true;
        case kind::resume_ok:
            return take_over();
        case kind::record:
            if (upward) {
                uploaded = std::min(upload, uploaded + record_max);
                if (server_answers) on.down.put({kind::ack, 40});
            } else {
                downloaded = std::min(download, downloaded + record_max);
                ++frames_received;
                on.up.put({kind::ack, 40});
            }
            return true;
        case kind::ack:
            if (!upward) ++frames_acked;
            return true;
        case kind::ping:
            if (server_answers) on.down.put({kind::pong, 37});
            return true;
        case kind::pong:
            return true;
        }
        return true;
    }

    bool unacked() const { return uploaded < upload; }

    bool take_over() {
        current = std::move(dialled);
        if (links++ == 0) put_records(current->down, download - downloaded);
        frames_acked = (uploaded + record_max - 1) / record_max;
        put_records(current->up, upload - uploaded);
        policy.on_up(facts(), now);
        return false;
    }

    static void put_records(direction& way, std::size_t bytes) {
        for (; bytes > 0; bytes -= std::min(bytes, record_max))
            way.put({message::kind::record, std::min(bytes, record_max)});
    }

    path_facts path_of(const link& of) const {
        path_facts seen;
        seen.acked_bytes = seen.delivered = of.up.arrived;
        seen.received_bytes = of.down.arrived;
        seen.in_flight = of.up.queued > 0 ? 1 : 0;
        // The first time-out after 200 ms, the next one after 400 more.
        seen.timeouts = of.up.stuck && now - of.up.moved > std::chrono::milliseconds(600) ? 2 : 0;
        seen.segment = static_cast<std::uint32_t>(of.segment);
        seen.rtt = std::chrono::milliseconds(50);
        seen.since_ack = now - of.up.moved;
        seen.since_received = now - of.down.moved;
        return seen;
    }

    progress_facts facts() const {
        progress_facts seen;
        seen.path = path_of(*current);
        seen.frames_acked = frames_acked;
        seen.frames_received = frames_received;
        const bool asked = [this] {
            for (const auto* way : {&current->up, &current->down})
                for (const auto& each : way->queue)
                    if (each.what == message::kind::ping || each.what == message::kind::pong)
                        return true;
            return false;
        }();
        seen.owes = unacked() || asked;
        seen.streams = !done();
        return seen;
    }

    void look() {
        const auto seen = current ? std::optional(facts()) : std::nullopt;
        const auto path = dialled ? std::optional(path_of(*dialled)) : std::nullopt;
        carry_out(policy.look(seen ? &*seen : nullptr, path ? &*path : nullptr, now));
    }

    std::optional<instant> connects_at;
    std::uint64_t frames_acked = 0;
    std::uint64_t frames_received = 0;
};

} // namespace muxsocks::client
