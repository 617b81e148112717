#include "tests/protocol/lone_session.hpp"

#include "protocol/link/session_crypto.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/handshake.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

namespace muxsocks::tests {
namespace {

/// The first byte of each draw of random bytes to come; they count up from it.
std::deque<std::uint8_t> draws;

void counting_bytes(bytes_span out) {
    const auto first = draws.empty() ? std::uint8_t{0xee} : draws.front();
    if (!draws.empty()) draws.pop_front();
    std::iota(out.begin(), out.end(), first);
}

template <typename Array>
Array counting_from(std::uint8_t first) {
    Array out{};
    std::iota(out.begin(), out.end(), first);
    return out;
}

octets exporter() {
    const auto array = counting_from<std::array<std::uint8_t, 32>>(0x20);
    return {array.begin(), array.end()};
}

} // namespace

std::string hex_of(std::string_view text) {
    return to_hex({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::string hex_u64(std::uint64_t value) {
    std::array<std::uint8_t, 8> out{};
    store_u64(out.data(), value);
    return to_hex(out);
}

std::string frame_text(std::uint32_t stream_id, unsigned flags, std::string_view payload) {
    const auto size = hex(payload).size();
    std::array<std::uint8_t, frame_header_size> header{};
    encode_header(header.data(),
                  {stream_id, static_cast<std::uint8_t>(flags), static_cast<std::uint16_t>(size)});
    return to_hex(header) + (payload.empty() ? "" : " ") + std::string(payload);
}

octets frame_bytes(std::uint32_t stream_id, unsigned flags, std::string_view payload) {
    octets out(frame_header_size + payload.size());
    encode_header(out.data(), {stream_id, static_cast<std::uint8_t>(flags),
                               static_cast<std::uint16_t>(payload.size())});
    std::copy(payload.begin(), payload.end(), out.begin() + frame_header_size);
    return out;
}

std::string control_text(std::string_view payload) { return frame_text(0, flag::ctrl, payload); }

std::string close_text(errc why, close_code code) {
    const std::array<std::uint8_t, 2> head{0x31, static_cast<std::uint8_t>(code)};
    return control_text(to_hex(head) + " " + hex_of(make_error_code(why).message()));
}

std::string credit_text(std::uint32_t stream_id, std::uint64_t limit) {
    return frame_text(stream_id, flag::ctrl, "10 " + hex_u64(limit));
}

session_settings lone_session::settings_of(role side) {
    session_settings settings;
    settings.side = side;
    settings.crypto = session_crypto();
    settings.crypto.random_bytes = counting_bytes;
    const auto key = token_key(settings.crypto, "0123456789abcdefghijklmnopqrstuv");
    if (side == role::client) {
        settings.user = "laptop";
        settings.key = key;
        draws = {0x00};
    } else {
        settings.find_user = [key](std::string_view user) {
            return user == "laptop" ? std::optional(user_access{key, 0}) : std::nullopt;
        };
        draws = {0x10, 0xa0};
    }
    return settings;
}

lone_session::lone_session(session_settings settings, cutting how)
    : settings_(std::move(settings)),
      core(
          [this] {
              settings_.pool = &pool_;
              return settings_;
          }(),
          now),
      cutting_(how),
      random_(test_seed()) {}

// ---- The corpus

void lone_session::record(bytes_view received) {
    // A piece of at most 255 bytes, behind 0 for "feed".
    for (auto rest = received; !rest.empty();) {
        const auto piece = rest.first(std::min<std::size_t>(rest.size(), 255));
        seed_.push_back(0);
        seed_.push_back(static_cast<std::uint8_t>(piece.size()));
        seed_.insert(seed_.end(), piece.begin(), piece.end());
        rest = rest.subspan(piece.size());
    }
}

lone_session::~lone_session() {
    static const char* const folder = std::getenv("MUXSOCKS_CORPUS");
    if (folder == nullptr || cutting_ != cutting::whole || seed_.empty()) return;
    const bool established = core.id() != session_id{};
    const auto mode =
        static_cast<std::uint8_t>((settings_.side == role::client ? 1 : 0) |
                                  (settings_.allow_v1 ? 2 : 0) | (established ? 4 : 0));
    seed_.insert(seed_.begin(), mode);
    std::filesystem::create_directories(folder);
    const auto name =
        to_hex(bytes_view(token_key(settings_.crypto,
                                    {reinterpret_cast<const char*>(seed_.data()), seed_.size()}))
                   .first(8));
    std::ofstream file(std::filesystem::path(folder) / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed_.data()),
               static_cast<std::streamsize>(seed_.size()));
}

// ---- The peer

void lone_session::link_up() {
    core.on_link(exporter(), now);
    settle();
}

void lone_session::establish(std::uint32_t window, std::uint32_t max_streams) {
    link_up();
    if (settings_.side == role::client)
        greet_as_server(window, max_streams);
    else
        greet_as_client(window);
    REQUIRE(core.established());
    take_output();
    told_.clear();
    seed_.clear();
}

void lone_session::establish_as_documented() {
    const bool client = settings_.side == role::client;
    link_up();
    take_output();
    feed(client ? vectors::server_hello : vectors::client_hello);
    take_output();
    feed(client ? vectors::auth_ok : vectors::auth);
    REQUIRE(core.established());
    take_output();
    told_.clear();
    seed_.clear();
    draws = {0xc0}; // For RESUME.
}

std::uint32_t lone_session::features() const {
    return (settings_.channel_binding ? feature::channel_binding : 0) |
           (settings_.resume ? feature::resume : 0);
}

void lone_session::greet_as_server(std::uint32_t window, std::uint32_t max_streams) {
    transcript said;
    said.exporter = exporter();
    const auto hello = take_output();
    said.client_hello = octets(hello.begin() + frame_header_size, hello.end());
    hello_frame mine;
    mine.features = features();
    mine.initial_window = window;
    mine.max_streams = max_streams;
    said.server_hello = encode(mine);
    feed(control_text(to_hex(said.server_hello)));
    auth_ok_frame answer;
    answer.id = counting_from<session_id>(0xa0);
    answer.resume_timeout_ms = settings_.resume ? 120'000 : 0;
    const auto t = said.hash(settings_.crypto, settings_.key ? 1 : 0, settings_.user);
    answer.mac = server_auth_mac(settings_.crypto, settings_.key.value_or(digest{}), t, answer);
    take_output();
    feed(control_text(to_hex(encode(answer))));
}

void lone_session::greet_as_client(std::uint32_t window) {
    transcript said;
    said.exporter = exporter();
    hello_frame mine;
    mine.features = features();
    mine.initial_window = window;
    said.client_hello = encode(mine);
    feed(control_text(to_hex(said.client_hello)));
    const auto hello = take_output();
    said.server_hello = octets(hello.begin() + frame_header_size, hello.end());
    auth_frame auth;
    auth.method = 1;
    auth.user = "laptop";
    const auto key = settings_.find_user(auth.user)->key;
    auth.mac = client_auth_mac(settings_.crypto, key, said.hash(settings_.crypto, 1, auth.user));
    feed(control_text(to_hex(encode(auth))));
}

void lone_session::feed(std::string_view hex_text) { feed(hex(hex_text)); }

void lone_session::feed(const octets& received) {
    record(received);
    bytes_view rest = received;
    while (!rest.empty()) {
        auto size = rest.size();
        if (cutting_ == cutting::byte_by_byte) size = 1;
        if (cutting_ == cutting::at_random)
            size = std::uniform_int_distribution<std::size_t>(1, rest.size())(random_);
        give(rest.first(size));
        rest = rest.subspan(size);
    }
}

void lone_session::give(bytes_view piece) {
    unparsed_.insert(unparsed_.end(), piece.begin(), piece.end());
    // In memory of its own, which is gone afterwards: a view that outlives its batch is found.
    const auto batch = unparsed_;
    const auto used = core.on_bytes(batch, now);
    settle();
    unparsed_.assign(batch.begin() + static_cast<std::ptrdiff_t>(used), batch.end());
}

void lone_session::pass(duration time) {
    const auto end = now + time;
    while (const auto due = core.deadline()) {
        if (*due > end) break;
        now = std::max(now, *due);
        core.on_deadline(now);
        settle();
        while (core.wants_turn())
            lay_turn();
        REQUIRE((!core.deadline() || *core.deadline() > now));
    }
    now = end;
}

octets lone_session::take_output() {
    while (core.wants_turn())
        lay_turn();
    return std::exchange(laid_, {});
}

void lone_session::lay_turn() {
    core.begin_turn(now);
    while (const auto slot = core.next_read()) {
        read_outcome outcome = read_outcome::drained;
        const auto size = read(*slot, outcome);
        core.on_read(*slot, size, outcome);
    }
    chunk_ref keep;
    const auto turn = core.end_turn(keep);
    laid_.insert(laid_.end(), turn.begin(), turn.end());
    settle();
}

lone_session::lines lone_session::sent() {
    lines frames;
    const auto output = take_output();
    for (bytes_view rest = output; !rest.empty();) {
        const auto size = frame_header_size + decode_header(rest.data()).length;
        REQUIRE(size <= rest.size());
        frames.push_back(to_hex(rest.first(size)));
        rest = rest.subspan(size);
    }
    return frames;
}

lone_session::lines lone_session::stream_frames() {
    auto frames = sent();
    std::erase_if(frames, [](const auto& frame) { return frame.starts_with("00 00 00 00"); });
    return frames;
}

// ---- The owner of the streams

void lone_session::settle() {
    while (const auto what = core.next_event())
        on_event(*what);
    core.end_batch();
    // The end of a batch may shed streams.
    while (const auto what = core.next_event())
        on_event(*what);
}

void lone_session::on_event(const event& what) {
    const auto o = what.subject ? static_cast<owner*>(what.subject->context) : nullptr;
    const auto why = what.error.message();
    switch (what.type) {
    case event::kind::established:
        told_.emplace_back("established");
        break;
    case event::kind::opened: {
        auto& added = owners_.emplace_back();
        added.id = what.subject->id;
        added.s = what.subject;
        what.subject->context = &added;
        opened_[added.id] = &added;
        told_.push_back("opened " + std::to_string(added.id));
        break;
    }
    case event::kind::readable:
        if (o->reading) take(*o, o->s->unread_bytes());
        break;
    case event::kind::reset:
        told_.push_back("reset " + std::to_string(o->s->id) + ": " + why);
        release(*o);
        break;
    case event::kind::goaway:
        told_.push_back("goaway: " + why);
        break;
    case event::kind::detached:
        told_.push_back("detached: " + why);
        break;
    case event::kind::resumed:
        told_.emplace_back("resumed");
        break;
    case event::kind::closed:
        told_.push_back("closed: " + why);
        break;
    }
}

lone_session::lines lone_session::told() {
    settle();
    return std::exchange(told_, {});
}

lone_session::owner& lone_session::open(std::string_view request) {
    auto& o = owners_.emplace_back();
    o.s = &core.open({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()}, &o);
    settle();
    return o;
}

lone_session::owner& lone_session::opened(std::uint32_t id) {
    const auto found = opened_.find(id);
    REQUIRE(found != opened_.end());
    return *found->second;
}

void lone_session::send(owner& o, std::string_view text, bool end) {
    o.to_send += text;
    o.end_after = end;
    core.on_readable(*o.s);
}

std::size_t lone_session::read(const read_slot& slot, read_outcome& outcome) {
    auto& o = *static_cast<owner*>(slot.subject->context);
    std::size_t size = 0;
    for (std::size_t i = 0; i < slot.count; ++i) {
        const auto part = std::min(slot.places[i].size(), o.to_send.size());
        std::copy_n(o.to_send.begin(), part, slot.places[i].begin());
        o.to_send.erase(0, part);
        size += part;
    }
    if (!o.to_send.empty())
        outcome = read_outcome::more;
    else if (o.end_after)
        outcome = read_outcome::end;
    return size;
}

void lone_session::take(owner& o, std::size_t size) {
    std::array<bytes_view, 3> views;
    while (size > 0) {
        const auto used = core.peek(*o.s, views);
        if (used == 0) break;
        std::size_t taken = 0;
        for (const auto view : std::span(views).first(used)) {
            const auto part = view.first(std::min(size - taken, view.size()));
            o.received.append(part.begin(), part.end());
            taken += part.size();
        }
        core.consume(*o.s, taken, now);
        size -= taken;
    }
    if (!o.s->at_end() || o.ended) return;
    o.ended = true;
    told_.push_back("end " + std::to_string(o.s->id));
}

void lone_session::release(owner& o) { core.release(*std::exchange(o.s, nullptr)); }

} // namespace muxsocks::tests
