#include "tests/protocol/session/lone.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/token_key.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace muxsocks::tests {

using muxsocks::sim::test_crypto;

namespace {

std::string as_text(bytes_view bytes) { return {bytes.begin(), bytes.end()}; }

std::string control_text(std::uint32_t id, bytes_view payload) {
    const auto number = [&] { return std::to_string(load_u64(payload.data() + 1)); };
    switch (static_cast<control_type>(payload[0])) {
    case control_type::hello:
        return "HELLO";
    case control_type::auth:
        return "AUTH";
    case control_type::auth_ok:
        return "AUTH_OK";
    case control_type::auth_fail:
        return "AUTH_FAIL";
    case control_type::credit:
        return "CREDIT " + std::to_string(id) + " " + number();
    case control_type::ack:
        return "ACK " + number();
    case control_type::join:
        return "JOIN " + std::to_string(decode_join(payload)->number);
    case control_type::join_ok:
        return "JOIN_OK " + std::to_string(decode_join_ok(payload)->number);
    case control_type::drop:
        return "DROP " + std::to_string(decode_drop(payload)->number) + " frames " +
               std::to_string(decode_drop(payload)->frames);
    case control_type::goaway:
        return "GOAWAY " + std::to_string(decode_goaway(payload)->last_stream);
    case control_type::close:
        return "CLOSE " + std::to_string(decode_close(payload)->code) + ": " +
               decode_close(payload)->text;
    case control_type::datagram:
        return "DATAGRAM " + std::to_string(id) + " " + as_text(payload.subspan(1));
    case control_type::notice:
        return "NOTICE " + std::to_string(id) + " " + decode_notice(payload)->text;
    default:
        return "CTRL " + std::to_string(payload[0]);
    }
}

} // namespace

std::string text_of(bytes_view whole) {
    const auto header = decode_header(whole.data());
    const auto payload = whole.subspan(frame_header_size);
    const auto id = std::to_string(header.stream_id);
    if (header.flags == flag::ctrl) return control_text(header.stream_id, payload);
    if (header.flags == flag::ping) return "PING";
    if (header.flags == flag::pong) return "PONG";
    if (header.flags == flag::rst)
        return "RST " + id + " code " + std::to_string(load_u32(payload.data()));
    auto text = ((header.flags & flag::data) != 0 ? "DATA " : "FIN ") + id + " @" +
                std::to_string(load_u64(payload.data()));
    if ((header.flags & flag::syn) != 0) text += " SYN";
    if ((header.flags & (flag::data | flag::fin)) == (flag::data | flag::fin)) text += " FIN";
    const auto bytes = as_text(payload.subspan(offset_size));
    return bytes.empty() ? text : text + " " + bytes;
}

session_settings lone::settings_of(role side) {
    session_settings settings;
    settings.side = side;
    settings.crypto = test_crypto();
    settings.user = "laptop";
    settings.key = muxsocks::tests::token_key(settings.crypto, "a token");
    settings.max_links = 4;
    settings.find_user = [key = *settings.key](std::string_view) {
        return std::optional(user_access{key, 0});
    };
    return settings;
}

lone::lone(session_settings settings)
    : settings_(std::move(settings)),
      core(
          [this] {
              settings_.pool = &pool_;
              settings_.wake = [this] { ++woken; };
              return settings_;
          }(),
          now) {}

lone::~lone() {
    const auto folder = std::getenv("MUXSOCKS_CORPUS");
    if (!folder || recorded_.size() < 2) return;
    std::filesystem::create_directories(folder);
    const std::string text(recorded_.begin(), recorded_.end());
    const auto name = std::to_string(std::hash<std::string>()(text));
    std::ofstream(std::filesystem::path(folder) / name, std::ios::binary) << text;
}

void lone::record(link_number link, const octets& bytes) {
    const std::uint8_t client = settings_.side == role::client ? 1 : 0;
    if (recorded_.empty()) recorded_.push_back(client);
    for (std::size_t at = 0; at < bytes.size();) {
        const auto size = std::min<std::size_t>(bytes.size() - at, 255);
        recorded_.push_back(static_cast<std::uint8_t>(link % 128));
        recorded_.push_back(static_cast<std::uint8_t>(size));
        const auto piece = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        recorded_.insert(recorded_.end(), piece, piece + static_cast<std::ptrdiff_t>(size));
        at += size;
    }
}

void lone::establish(hello_frame theirs) {
    core.on_link({}, now);
    const bool client = settings_.side == role::client;
    if (theirs.initial_window == 0) theirs.initial_window = 256 * 1024;
    if (theirs.max_streams == 0 && client) theirs.max_streams = 16'384;
    if (theirs.max_links == 1) theirs.max_links = 4;
    theirs.features |=
        feature::channel_binding | feature::notice | (settings_.resume ? feature::resume : 0);
    session_proofs proofs(settings_.crypto);
    proofs.on_first_link({});
    const auto payload_of = [](const octets& whole) {
        return octets(whole.begin() + frame_header_size, whole.end());
    };
    const auto hello = encode(theirs);
    if (client) {
        proofs.on_client_hello(payload_of(output()));
        proofs.on_server_hello(hello);
        feed(0, control(hello));
        output();
        proofs.client_mac(1, settings_.user, *settings_.key);
        auth_ok_frame answer;
        answer.id.fill(7);
        answer.resume_timeout_ms = settings_.resume ? 120'000 : 0;
        answer.mac = proofs.server_mac(answer);
        feed(0, control(encode(answer)));
    } else {
        proofs.on_client_hello(hello);
        feed(0, control(hello));
        proofs.on_server_hello(payload_of(output()));
        auth_frame auth;
        auth.method = 1;
        auth.user = "laptop";
        auth.mac = proofs.client_mac(1, auth.user, *settings_.key);
        feed(0, control(encode(auth)));
    }
    REQUIRE(core.established());
    output();
    told_.clear();
    // The fuzzer's own peer does this part: only it knows the proofs.
    recorded_.assign(1, static_cast<std::uint8_t>((client ? 1 : 0) | 4));
}

link_number lone::join() {
    // What makes the fuzzer join a link; it answers by itself.
    if (recorded_.empty()) recorded_.push_back(0);
    recorded_.insert(recorded_.end(), {0x8f, 0});
    const auto recorded = recorded_;
    // The proof is the session's own: it is a test of what follows.
    if (settings_.side == role::client) {
        const auto number = core.join({}, now);
        output(number);
        join_ok_frame answer{number, core.proofs().join_ok_proof(number, {})};
        feed(number, control(encode(answer)));
        recorded_ = recorded;
        return number;
    }
    join_frame asked;
    asked.id = core.id();
    asked.number = ++joined_;
    asked.proof = core.proofs().join_proof(asked.number, {});
    REQUIRE(!core.on_join(asked, {}, now));
    settle();
    output(asked.number);
    return asked.number;
}

void lone::feed(link_number link, const octets& bytes) {
    record(link, bytes);
    auto& waiting = unparsed_[link];
    waiting.insert(waiting.end(), bytes.begin(), bytes.end());
    const auto batch = waiting;
    const auto used = core.on_bytes(link, batch, now);
    settle();
    waiting.assign(batch.begin() + static_cast<std::ptrdiff_t>(used), batch.end());
}

octets lone::turn(link_number link, std::size_t size) {
    core.begin_turn(link, now, size);
    auto& lane = core.datagrams_lane();
    while (const auto slot = lane.next()) {
        auto& waiting = static_cast<owner*>(slot->subject->context)->datagrams;
        const auto one = waiting.empty() ? std::string() : waiting.front();
        if (!waiting.empty()) waiting.pop_front();
        REQUIRE(one.size() <= slot->place.size());
        std::copy(one.begin(), one.end(), slot->place.begin());
        lane.on_read(*slot, one.size(), !waiting.empty());
    }
    while (const auto slot = core.next_read()) {
        auto& o = *static_cast<owner*>(slot->subject->context);
        std::size_t read = 0;
        for (std::size_t i = 0; i < slot->count; ++i) {
            const auto part = std::min(slot->places[i].size(), o.to_send.size());
            std::copy_n(o.to_send.begin(), part, slot->places[i].begin());
            o.to_send.erase(0, part);
            read += part;
        }
        core.on_read(*slot, read,
                     !o.to_send.empty() ? read_outcome::more
                     : o.end_after      ? read_outcome::end
                                        : read_outcome::drained);
    }
    chunk_ref keep;
    const auto bytes = core.end_turn(keep);
    octets out(bytes.begin(), bytes.end());
    settle();
    return out;
}

octets lone::output(link_number link) {
    octets out;
    while (core.wants_turn(link))
        out = std::move(out) + turn(link);
    return out;
}

lines lone::sent(link_number link) {
    lines frames;
    const auto out = output(link);
    for (bytes_view rest = out; !rest.empty();) {
        const auto whole = frame_at(rest.data());
        frames.push_back(text_of(whole));
        rest = rest.subspan(whole.size());
    }
    return frames;
}

void lone::pass(duration time) {
    const auto end = now + time;
    while (const auto due = core.deadline()) {
        if (*due > end) break;
        now = std::max(now, *due);
        core.on_deadline(now);
        settle();
        REQUIRE((!core.deadline() || *core.deadline() > now));
    }
    now = end;
}

void lone::settle() {
    for (int round = 0; round < 2; ++round) {
        while (const auto what = core.next_event())
            on_event(*what);
        if (round == 0) core.end_batch();
    }
}

void lone::on_event(const event& what) {
    const auto o = what.subject ? static_cast<owner*>(what.subject->context) : nullptr;
    const auto why = what.error.message();
    const auto id = what.subject ? std::to_string(what.subject->id) : std::string();
    const auto link = std::to_string(what.link);
    switch (what.type) {
    case event::kind::established:
        told_.emplace_back("established");
        break;
    case event::kind::opened:
        told_.push_back("opened " + id);
        owners_.emplace_back().s = what.subject;
        what.subject->context = &owners_.back();
        opened_[what.subject->id] = &owners_.back();
        break;
    case event::kind::readable:
        if (o->reading) take(*o);
        break;
    case event::kind::reset:
        told_.push_back("reset " + id + ": " + why);
        core.release(*std::exchange(o->s, nullptr));
        break;
    case event::kind::datagram: {
        const auto bytes = core.datagrams_lane().received(what);
        told_.push_back("datagram " + id + " " + std::string(bytes.begin(), bytes.end()));
        break;
    }
    case event::kind::goaway:
        told_.emplace_back("goaway");
        break;
    case event::kind::notice:
        told_.push_back("notice " + id + " " + core.take_notice().text);
        break;
    case event::kind::link_up:
        told_.push_back("up " + link);
        break;
    case event::kind::join_failed:
        told_.push_back("not joined " + link);
        break;
    case event::kind::link_down:
        told_.push_back("down " + link + ": " + why);
        break;
    case event::kind::detached:
        told_.emplace_back("detached");
        break;
    case event::kind::attached:
        told_.emplace_back("attached");
        break;
    case event::kind::closed:
        told_.push_back("closed: " + why);
        break;
    }
}

void lone::take(owner& o, std::size_t size) {
    std::array<bytes_view, 3> views;
    while (const auto used = size > 0 ? core.peek(*o.s, views) : 0) {
        std::size_t taken = 0;
        for (const auto view : std::span(views).first(used)) {
            const auto part = view.first(std::min(view.size(), size - taken));
            o.received.append(part.begin(), part.end());
            taken += part.size();
        }
        core.consume(*o.s, taken, now);
        size -= taken;
    }
    if (!o.s->at_end()) return;
    told_.push_back("end " + std::to_string(o.s->id));
}

lone::owner& lone::open(std::string_view request) {
    auto& o = owners_.emplace_back();
    o.s = &core.open({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()}, &o);
    settle();
    return o;
}

void lone::send(owner& o, std::string_view text, bool end) {
    o.to_send += text;
    o.end_after = end;
    core.on_readable(*o.s);
}

void lone::send_datagram(owner& o, std::string bytes) {
    o.datagrams.push_back(std::move(bytes));
    core.datagrams_lane().on_readable(*o.s);
}

lines lone::told() {
    settle();
    return std::exchange(told_, {});
}

} // namespace muxsocks::tests
