// The bytes of a session's state.

#include "protocol/session/state.hpp"

#include "protocol/fields.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

constexpr std::string_view magic("muxsocks state\0\0", 16);
constexpr std::size_t head_size = 16 + 2 + 1;
constexpr std::size_t record_head_size = 4;
constexpr std::size_t end_size = record_head_size + 1 + 32;

/// Those of a stream follow its own record.
enum class record_type : std::uint8_t {
    agreement = 1,
    links = 2,
    ids = 3,
    goaway = 4,
    levels = 5,
    kept = 6,
    owner = 7,
    stream = 16,
    own_bytes = 17,
    unread_bytes = 18,
    piece = 19,
    stream_owner = 20,
    end = 255,
};

// Bits of agreement and stream records.
constexpr std::uint8_t bit_binds = 1;
constexpr std::uint8_t bit_notices = 2;
constexpr std::uint8_t bit_goaway_received = 4;
constexpr std::uint8_t bit_goaway_due = 8;
constexpr std::uint8_t bit_datagrams = 16;

constexpr bool stream_state::*stream_bits[] = {
    &stream_state::fin_wanted,   &stream_state::fin_sent,     &stream_state::rst_wanted,
    &stream_state::rst_waits,    &stream_state::own_last,     &stream_state::bulk,
    &stream_state::fin_received, &stream_state::owned,        &stream_state::closed,
    &stream_state::discarding,   &stream_state::request_done, &stream_state::connected,
    &stream_state::credited,
};
constexpr std::uint32_t bit_final_size = 1U << 30;
constexpr std::uint32_t bit_due = 1U << 31;

// ---- Writing

class state_writer {
  public:
    explicit state_writer(role side) {
        out_.assign(magic.begin(), magic.end());
        out_.resize(head_size);
        store_u16(out_.data() + magic.size(), session_state::format);
        out_[head_size - 1] = side == role::server ? 1 : 0;
    }
    void add(field_writer& record) {
        const auto payload = record.done();
        begin(payload.size());
        append(payload);
    }
    void add(record_type type, bytes_view bytes) {
        if (bytes.empty()) return;
        begin(bytes.size() + 1);
        out_.push_back(static_cast<std::uint8_t>(type));
        append(bytes);
    }
    std::vector<std::uint8_t> done(const crypto_functions& crypto) {
        const bytes_view parts[] = {out_};
        const auto sum = crypto.sha256(std::span(parts));
        add(record_type::end, sum);
        return std::move(out_);
    }

  private:
    void begin(std::size_t size) {
        out_.resize(out_.size() + record_head_size);
        store_u32(out_.data() + out_.size() - record_head_size, static_cast<std::uint32_t>(size));
    }
    void append(bytes_view bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

    std::vector<std::uint8_t> out_;
};

void write_session(state_writer& to, const session_state& s) {
    const auto& a = s.agreed;
    field_writer settled(record_type::agreement);
    settled.bytes(s.id).bytes(s.secret);
    settled.u8(static_cast<std::uint8_t>((s.binds ? bit_binds : 0) | (a.notices ? bit_notices : 0) |
                                         (s.goaway_received ? bit_goaway_received : 0) |
                                         (s.goaway_due ? bit_goaway_due : 0) |
                                         (a.datagrams ? bit_datagrams : 0)));
    settled.u32(s.own_window).u32(s.own_max_streams);
    settled.u32(a.peer_window).u32(a.peer_max_streams).u32(a.stream_limit);
    settled.u32(a.resume_timeout_ms).u8(a.max_links);
    for (const auto text : {&a.user, &a.join_at, &s.peer_text})
        settled.u16(static_cast<std::uint16_t>(text->size())).text(*text);
    to.add(settled);

    field_writer links(record_type::links);
    links.u32(s.next_link).u32(s.highest_link).u64(s.used_links);
    for (const auto& each : s.drops)
        links.u32(each.number).u64(each.frames);
    to.add(links);

    field_writer ids(record_type::ids);
    ids.u32(s.next_id).u32(s.highest_id).u32(static_cast<std::uint32_t>(s.missing.size()));
    for (const auto& [first, last] : s.missing)
        ids.u32(first).u32(last);
    for (const auto id : s.refusals)
        ids.u32(id);
    to.add(ids);

    if (s.goaway) to.add(record_type::goaway, encode(*s.goaway));

    field_writer levels(record_type::levels);
    levels.u32(static_cast<std::uint32_t>(s.flood_levels.size()));
    for (const auto each : s.flood_levels)
        levels.u32(each);
    for (const auto each : s.counted)
        levels.u64(each);
    to.add(levels);

    for (const auto& each : s.kept) {
        field_writer run(record_type::kept);
        run.u32(each.link).u64(each.first).bytes(each.frames);
        to.add(run);
    }
    to.add(record_type::owner, s.owner);
}

void write_stream(state_writer& to, const stream_state& s) {
    std::uint32_t bits = (s.final_size ? bit_final_size : 0) | (s.due_ms ? bit_due : 0);
    for (std::uint32_t i = 0; i < std::size(stream_bits); ++i)
        bits |= std::uint32_t{s.*stream_bits[i]} << i;
    field_writer fields(record_type::stream);
    fields.u32(s.id).u32(bits).u32(s.rst_code).u8(s.end);
    for (const auto each : {s.sent, s.limit, s.received, s.consumed, s.announced, s.window, s.top})
        fields.u64(each);
    fields.u64(s.final_size.value_or(0)).u32(s.due_ms.value_or(0));
    to.add(fields);
    to.add(record_type::own_bytes, s.own);
    to.add(record_type::unread_bytes, s.unread);
    for (const auto& each : s.beyond) {
        field_writer piece(record_type::piece);
        piece.u64(each.offset).bytes(each.bytes);
        to.add(piece);
    }
    to.add(record_type::stream_owner, s.owner);
}

// ---- Reading

void read_agreement(field_reader& in, session_state& s) {
    auto& a = s.agreed;
    s.id = in.bytes<16>();
    s.secret = in.bytes<32>();
    const auto bits = in.u8();
    s.binds = (bits & bit_binds) != 0;
    a.notices = (bits & bit_notices) != 0;
    a.datagrams = (bits & bit_datagrams) != 0;
    s.goaway_received = (bits & bit_goaway_received) != 0;
    s.goaway_due = (bits & bit_goaway_due) != 0;
    s.own_window = in.u32();
    s.own_max_streams = in.u32();
    a.peer_window = in.u32();
    a.peer_max_streams = in.u32();
    a.stream_limit = in.u32();
    a.resume_timeout_ms = in.u32();
    a.max_links = in.u8();
    a.resumable = a.keeps = true; // No other session outlives its links.
    for (const auto text : {&a.user, &a.join_at, &s.peer_text})
        *text = in.text(in.u16());
}

void read_links(field_reader& in, session_state& s) {
    s.next_link = in.u32();
    s.highest_link = in.u32();
    s.used_links = in.u64();
    while (in.ok() && in.left() > 0) {
        const auto number = in.u32();
        s.drops.push_back({number, in.u64()});
    }
}

void read_ids(field_reader& in, session_state& s) {
    s.next_id = in.u32();
    s.highest_id = in.u32();
    for (auto runs = in.u32(); in.ok() && runs > 0; --runs) {
        const auto first = in.u32();
        s.missing.emplace_back(first, in.u32());
    }
    while (in.ok() && in.left() > 0)
        s.refusals.push_back(in.u32());
}

void read_levels(field_reader& in, session_state& s) {
    for (auto left = in.u32(); in.ok() && left > 0; --left)
        s.flood_levels.push_back(in.u32());
    while (in.ok() && in.left() > 0)
        s.counted.push_back(in.u64());
}

void read_stream(field_reader& in, stream_state& s) {
    s.id = in.u32();
    const auto bits = in.u32();
    for (std::uint32_t i = 0; i < std::size(stream_bits); ++i)
        s.*stream_bits[i] = (bits >> i & 1) != 0;
    s.rst_code = in.u32();
    s.end = in.u8();
    for (const auto each :
         {&s.sent, &s.limit, &s.received, &s.consumed, &s.announced, &s.window, &s.top})
        *each = in.u64();
    const auto final_size = in.u64();
    const auto due_ms = in.u32();
    if ((bits & bit_final_size) != 0) s.final_size = final_size;
    if ((bits & bit_due) != 0) s.due_ms = due_ms;
}

std::vector<std::uint8_t> copy(bytes_view bytes) { return {bytes.begin(), bytes.end()}; }

/// Whether the record is what it says it is; `payload` begins with its type.
bool read_record(bytes_view payload, session_state& s) {
    field_reader in(payload);
    const auto rest = payload.subspan(1);
    const auto type = static_cast<record_type>(payload[0]);
    if (type > record_type::stream && s.streams.empty()) return false;
    switch (type) {
    case record_type::agreement:
        read_agreement(in, s);
        return in.done();
    case record_type::links:
        read_links(in, s);
        return in.done();
    case record_type::ids:
        read_ids(in, s);
        return in.done();
    case record_type::goaway:
        s.goaway = decode_goaway(payload.subspan(1));
        return s.goaway.has_value();
    case record_type::levels:
        read_levels(in, s);
        return in.done();
    case record_type::kept:
        s.kept.push_back({in.u32(), in.u64(), {}});
        if (!in.ok() || in.left() == 0) return false;
        s.kept.back().frames = copy(payload.last(in.left()));
        return true;
    case record_type::owner:
        s.owner = copy(rest);
        return true;
    case record_type::stream:
        read_stream(in, s.streams.emplace_back());
        return in.done();
    case record_type::own_bytes:
        s.streams.back().own = copy(rest);
        return true;
    case record_type::unread_bytes:
        s.streams.back().unread = copy(rest);
        return true;
    case record_type::piece:
        s.streams.back().beyond.push_back({in.u64(), {}});
        if (!in.ok() || in.left() == 0) return false;
        s.streams.back().beyond.back().bytes = copy(payload.last(in.left()));
        return true;
    case record_type::stream_owner:
        s.streams.back().owner = copy(rest);
        return true;
    case record_type::end:
        break;
    }
    return false;
}

std::error_code look(bytes_view bytes, const crypto_functions& crypto) {
    const auto begin = std::min(bytes.size(), magic.size());
    if (begin == 0 || !std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                  bytes_of_text(magic).begin()))
        return state_errc::not_a_state;
    if (bytes.size() < head_size) return state_errc::cut_off;
    if (load_u16(bytes.data() + magic.size()) != session_state::format)
        return state_errc::other_format;
    for (auto at = head_size;;) {
        if (bytes.size() - at < record_head_size + 1) return state_errc::cut_off;
        const std::size_t size = load_u32(bytes.data() + at);
        const auto left = bytes.size() - at - record_head_size;
        const bool end =
            bytes[at + record_head_size] == static_cast<std::uint8_t>(record_type::end);
        if (size > left) return state_errc::cut_off;
        if (size == 0 || (end && size != end_size - record_head_size)) return state_errc::changed;
        if (end) {
            const bytes_view parts[] = {bytes.first(at)};
            const auto sum = crypto.sha256(std::span(parts));
            const bool same = left == size && equal_in_constant_time(sum, bytes.last(sum.size()));
            return same ? std::error_code() : state_errc::changed;
        }
        at += record_head_size + size;
    }
}

std::string text(state_errc code) {
    switch (code) {
    case state_errc::not_a_state:
        return "this is not the state of a session";
    case state_errc::other_format:
        return "the session's state has a format that this version does not know";
    case state_errc::cut_off:
        return "the session's state is cut off";
    case state_errc::changed:
        return "the session's state was changed on its way";
    case state_errc::impossible:
        return "no session can be in the state that was handed over";
    }
    return "unknown fault of a session's state";
}

class state_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.state"; }
    std::string message(int value) const override { return text(static_cast<state_errc>(value)); }
};

} // namespace

const std::error_category& state_category() {
    static const state_category_impl instance;
    return instance;
}

std::vector<std::uint8_t> encode(const session_state& state, const crypto_functions& crypto) {
    state_writer to(state.side);
    write_session(to, state);
    for (const auto& each : state.streams)
        write_stream(to, each);
    return to.done(crypto);
}

std::optional<session_state> decode_state(bytes_view bytes, const crypto_functions& crypto,
                                          std::error_code& why) {
    why = look(bytes, crypto);
    if (why) return {};
    session_state s;
    s.side = bytes[head_size - 1] == 1 ? role::server : role::client;
    bool whole = bytes[head_size - 1] <= 1;
    for (auto at = head_size; whole && at + end_size < bytes.size();) {
        const auto size = load_u32(bytes.data() + at);
        whole = read_record(bytes.subspan(at + record_head_size, size), s);
        at += record_head_size + size;
    }
    if (whole && is_possible(s)) return s;
    why = state_errc::impossible;
    return {};
}

} // namespace muxsocks
