#include "protocol/program/succession.hpp"

#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <stdexcept>

namespace muxsocks {
namespace {

using step = hand_over_channel::kind;
using namespace std::chrono_literals;

/// A thread that does not come to it in this time is stopping.
constexpr auto thread_patience = 2s;

enum class wish : std::uint8_t {
    any_place = 0,
    of_who_stops = 1,
};

std::vector<std::uint8_t> hello(wish whose) {
    std::vector<std::uint8_t> bytes(5);
    store_u16(bytes.data(), session_state::format);     // The oldest that is read,
    store_u16(bytes.data() + 2, session_state::format); // and the newest.
    bytes[4] = static_cast<std::uint8_t>(whose);
    return bytes;
}

bool asks_who_stops(bytes_view said) {
    return said.size() > 4 && said[4] == static_cast<std::uint8_t>(wish::of_who_stops);
}

bool reads_our_format(bytes_view said) {
    return said.size() >= 4 && load_u16(said.data()) <= session_state::format &&
           load_u16(said.data() + 2) >= session_state::format;
}

std::string text_of(bytes_view bytes) {
    return log::escape(std::string(bytes.begin(), bytes.end()));
}

bool send_listeners(hand_over_channel& to, const std::vector<inherited_listener>& all) {
    std::string names;
    std::vector<int> sockets;
    for (const auto& each : all) {
        names += each.name + "\n";
        sockets.push_back(each.descriptor);
    }
    const bytes_view text(reinterpret_cast<const std::uint8_t*>(names.data()), names.size());
    return to.send(step::listeners, text, sockets);
}

std::vector<inherited_listener> read_listeners(hand_over_channel::message said) {
    std::vector<inherited_listener> all;
    std::string names(said.bytes.begin(), said.bytes.end());
    while (!names.empty() && said.descriptors.size() > 0) {
        const auto end = std::min(names.find('\n'), names.size());
        all.push_back({names.substr(0, end), said.descriptors.take()});
        names.erase(0, end + 1);
    }
    return all;
}

std::optional<std::set<std::uint32_t>>
read_refused(const std::optional<hand_over_channel::message>& said) {
    if (!said || said->what != step::taken || said->bytes.size() % 4 != 0) return {};
    std::set<std::uint32_t> refused;
    for (std::size_t at = 0; at < said->bytes.size(); at += 4)
        refused.insert(load_u32(said->bytes.data() + at));
    return refused;
}

/// Whether the new process, which was given the place, has begun to serve. One that has not said so
/// in time cannot say it any more, and gives the place back when it finds that.
bool serves(hand_over_channel& to) {
    auto said = to.receive();
    if (!said) said = to.stop_receiving();
    return said && said->what == step::serving;
}

/// What the new process gets while all threads stand still; empty if it has them all.
std::string give_sessions(hand_over_channel& to, std::size_t threads, giving_sessions* sessions,
                          std::size_t& given) {
    constexpr auto is_gone = "it is gone, or does not answer";
    bool heard = true;
    const auto send = [&](handed_piece what, bytes_view state, std::span<const int> sockets) {
        const bool session = what == handed_piece::session;
        heard = heard && to.send(session ? step::session : step::connection, state, sockets);
        if (heard && session) ++given;
        return heard;
    };
    for (std::size_t i = 0; i < threads && sessions; ++i)
        sessions->save(i, send);
    const auto rest = sessions ? sessions->save_program() : std::vector<std::uint8_t>();
    if (heard && !rest.empty()) heard = to.send(step::program, rest);
    if (!heard || !to.send(step::all)) return is_gone;
    const auto refused = read_refused(to.receive());
    if (!refused) return is_gone;
    if (!to.send(step::yours)) return is_gone;
    if (!serves(to)) return "it has ended before it served, or says nothing";
    given -= std::min(given, refused->size());
    for (std::size_t i = 0; i < threads && sessions; ++i)
        sessions->let_go(i, *refused);
    return {};
}

} // namespace

bool give_place(hand_over_channel& to, service& frame, std::span<asio::io_context* const> threads,
                giving_sessions* sessions) {
    const auto asked = to.receive();
    if (!asked || asked->what != step::hello) return false;
    const int heir = to.peer_process();
    std::vector<inherited_listener> listening;
    bool stops = false;
    {
        stopped_threads main(threads.first(1), thread_patience);
        if (!main.all_here()) return false;
        stops = frame.draining() && !frame.stopped();
        listening = frame.listening().to_inherit();
    }
    if (!stops && asks_who_stops(asked->bytes)) {
        to.send(step::refused, std::string_view("it serves"));
        return false;
    }
    if (!reads_our_format(asked->bytes)) {
        log::warning("a new process asks for the place of this one, and does not know the format "
                     "of its sessions: this one goes on");
        to.send(step::refused, std::string_view("it hands its sessions over in a format that this "
                                                "version does not know"));
        return false;
    }
    log::info("process {} takes the place of this one", heir);
    std::string failure = "it does not serve";
    std::size_t given = 0;
    std::chrono::steady_clock::time_point begun;
    const bool heard = send_listeners(to, listening);
    const auto ready = heard ? to.receive() : std::nullopt;
    if (ready && ready->what == step::ready) {
        begun = std::chrono::steady_clock::now();
        stopped_threads all(threads, thread_patience);
        failure = "a thread is busy";
        if (all.all_here()) {
            frame.listening().pause();
            failure = give_sessions(to, all.size(), sessions, given);
            if (failure.empty())
                frame.give_place(heir);
            else
                frame.listening().go_on_accepting();
        }
    }
    if (!failure.empty()) {
        to.send(step::refused, std::string_view("it goes on itself"));
        log::warning("the hand-over has failed ({}): this process goes on", failure);
        return false;
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    if (sessions)
        log::info("{} sessions have gone to process {} in {:.1f} ms; this one ends", given, heir,
                  std::chrono::duration<double, std::milli>(took).count());
    else
        log::info("process {} has the listening sockets; this one ends with its last stream", heir);
    return true;
}

bool store_place(service& frame, std::span<asio::io_context* const> threads,
                 giving_sessions& sessions) {
    stopped_threads all(threads, thread_patience);
    if (!all.all_here()) {
        asio::post(*threads.front(), [&frame] { frame.drain(); });
        return false;
    }
    place_writer place;
    frame.listening().pause();
    for (const auto& each : frame.listening().to_inherit())
        place.add(each);
    const auto add = [&](handed_piece what, bytes_view state, std::span<const int> sockets) {
        place.add(what, state, sockets);
        return true;
    };
    for (std::size_t i = 0; i < all.size(); ++i)
        sessions.save(i, add);
    const bool kept = place.send(frame.manager());
    if (kept) {
        log::info("stopping: {} sessions wait with the service manager for the next process",
                  place.sessions());
        for (std::size_t i = 0; i < all.size(); ++i)
            sessions.let_go(i, {});
    } else {
        log::warning("the service manager does not keep the sessions of this process");
    }
    if (kept) {
        frame.give_place(0);
    } else {
        frame.listening().go_on_accepting();
        frame.drain();
    }
    return kept;
}

// ---- Those that come after this process

succession::~succession() {
    offer_.reset();
    if (storing_.joinable()) storing_.join();
}

void succession::offer(std::span<const listen_address> listening) {
    offer_ = std::make_unique<hand_over_offer>(
        hand_over_path(role_, listening), [this](hand_over_channel& to) {
            const auto all = sessions_();
            return give_place(to, frame_, threads_, all.get());
        });
}

void succession::on_stopping(std::span<const listen_address> listening) {
    if (offer_ && offer_->offered()) return;
    offer_ = std::make_unique<hand_over_offer>(
        stopping_name(role_, listening),
        [this](hand_over_channel& to) { return give_place(to, frame_, threads_, nullptr); });
}

void succession::move_to(std::span<const listen_address> listening) {
    if (offer_) offer_->move_to(hand_over_path(role_, listening));
}

void succession::store() {
    if (storing_.joinable()) return; // Once.
    storing_ = std::thread([this] { store_place(frame_, threads_, *sessions_()); });
}

// ---- The one before this process

std::optional<predecessor> predecessor::find(program_role role, const command_line& line,
                                             std::span<const listen_address> listening) {
    if (line.take_over) {
        auto running = find_running(role, listening);
        if (running) return running;
        log::info("there is no {} whose place could be taken",
                  role == program_role::client ? "client" : "server");
    }
    if (auto stopping = find_stopping(role, listening)) return stopping;
    return find_stored();
}

std::optional<predecessor> predecessor::find_stopping(program_role role,
                                                      std::span<const listen_address> listening) {
    for (const auto& name : {hand_over_path(role, listening), stopping_name(role, listening)}) {
        auto from = hand_over_channel::connect(name);
        if (!from || !from->send(step::hello, hello(wish::of_who_stops))) continue;
        auto answer = from->receive();
        if (answer && answer->what == step::listeners)
            return predecessor(std::move(*from), read_listeners(std::move(*answer)));
    }
    return {};
}

std::optional<predecessor> predecessor::find_stored() {
    auto found = stored_place::find();
    if (!found) return {};
    return predecessor(std::move(*found));
}

std::optional<predecessor> predecessor::find_running(program_role role,
                                                     std::span<const listen_address> listening) {
    auto from = hand_over_channel::connect(hand_over_path(role, listening));
    if (!from) return {};
    auto answer = from->send(step::hello, hello(wish::any_place)) ? from->receive() : std::nullopt;
    if (answer && answer->what == step::listeners)
        return predecessor(std::move(*from), read_listeners(std::move(*answer)));
    if (!answer && from->peer_has_ended()) return {};
    throw std::runtime_error("the process that serves here does not hand its place over: " +
                             (answer && !answer->bytes.empty()
                                  ? text_of(answer->bytes)
                                  : std::string("it has not answered")));
}

namespace {

/// Whether it is one, and is taken.
bool take_session(taking_sessions& to, bytes_view bytes, descriptor_list& sockets) {
    std::error_code why;
    const auto state = decode_state(bytes, session_crypto(), why);
    if (!state) log::warning("a session is not taken over: {}", why.message());
    return state && to.take(*state, sockets);
}

} // namespace

void predecessor::take(taking_sessions& to) {
    if (!from_) return take_stored(to);
    std::vector<std::uint8_t> refused;
    std::uint32_t number = 0;
    bool anything = false;
    from_->send(step::ready);
    auto said = from_->receive();
    for (; said && said->what != step::yours && said->what != step::refused;
         said = from_->receive()) {
        anything |= said->what != step::all;
        if (said->what == step::all) {
            from_->send(step::taken, refused);
        } else if (said->what == step::program) {
            to.take_program(said->bytes);
        } else if (said->what == step::connection) {
            to.take_connection(said->bytes, std::move(said->descriptors));
        } else if (said->what == step::session) {
            if (!take_session(to, said->bytes, said->descriptors)) {
                refused.resize(refused.size() + 4);
                store_u32(refused.data() + refused.size() - 4, number);
            }
            ++number;
        }
    }
    const auto taken = number - refused.size() / 4;
    const bool given = said && said->what == step::yours;
    if (given && from_->send(step::serving))
        return log::info("this process has the place of process {}, {} sessions with it", process(),
                         taken);
    if ((!said || given) && from_->peer_has_ended())
        return log::warning("process {}, whose place is taken, has died before it was done; {} of "
                            "its sessions are here",
                            process(), taken);
    to.give_back();
    // One that stopped may have come to its end meanwhile.
    if (said && !anything && from_->peer_has_ended()) return;
    throw std::runtime_error("the process that serves here has kept its place");
}

void predecessor::take_stored(taking_sessions& to) {
    std::size_t taken = 0;
    for (auto& each : std::exchange(stored_, {})) {
        if (each.what == handed_piece::connection)
            to.take_connection(each.state, std::move(each.sockets));
        else if (take_session(to, each.state, each.sockets))
            ++taken;
        else
            each.sockets.reset();
    }
    log::info("this process has the place of the one before, {} sessions with it", taken);
}

} // namespace muxsocks
