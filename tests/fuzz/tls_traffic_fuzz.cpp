// What anybody can send who has made a TLS handshake: records of every kind, authentic or damaged,
// cut anywhere. What is delivered must be what was sealed as data, from its begin on and without a
// gap, and all of it unless the connection has ended; and every answer must be a record.

#include "protocol/link/tls/tls_traffic.hpp"
#include "tests/fuzz/input.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace {

using namespace muxsocks;
using bytes = std::vector<std::uint8_t>;

void require(bool holds) {
    if (!holds) std::abort();
}

traffic_secret secret(std::uint8_t filler) { return traffic_secret(bytes(32, filler)); }

struct scene {
    using direction = record_protection::direction;

    record_protection peer{direction::sending, 0x1301, secret(1)};
    record_protection answers{direction::receiving, 0x1301, secret(2)};
    tls_traffic traffic{record_protection(direction::sending, 0x1301, secret(2)),
                        record_protection(direction::receiving, 0x1301, secret(1)), 4};
    bytes sent;
    bytes received;
    output_buffer out;
    bool over = false;
    bool damaged = false;

    void deliver(std::span<const std::uint8_t> wire, std::size_t room) {
        bytes plain(room);
        for (bool more = true; more && !over;) {
            const auto result = traffic.decrypt(wire, plain, out);
            received.insert(received.end(), plain.begin(),
                            plain.begin() + static_cast<std::ptrdiff_t>(result.plaintext));
            more = result.more;
            over = result.how != tls_traffic::end::none;
        }
        require(received.size() <= sent.size());
        require(std::equal(received.begin(), received.end(), sent.begin()));
    }

    void read_answers() {
        tls_record_reader reader;
        auto rest = out.view();
        std::span<const std::uint8_t> record;
        bytes content(tls_body_max);
        while (reader.next(rest, record) == tls_record_reader::outcome::record) {
            const auto opened = answers.open(record, content);
            require(opened.has_value());
            if (opened->type == static_cast<std::uint8_t>(tls_content::handshake)) answers.update();
        }
        require(rest.empty());
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    scene s;
    while (!in.empty() && !s.over) {
        // 0 would be padding, and the content's last byte the type.
        const auto type = std::max<std::uint8_t>(in.byte(), 1);
        const auto how = in.byte();
        const auto content = in.bytes(how % 4 == 3 ? std::size_t{in.byte()} * 97 : in.byte());
        output_buffer wire;
        require(s.peer.seal(static_cast<tls_content>(type), content, wire));
        bytes record(wire.view().begin(), wire.view().end());
        // A key update changes the peer's key, if it is one; a peer that lies about it is damaged.
        const bool updates = type == 22 && content.size() == 5 && content[0] == 24;
        if (updates) s.peer.update();
        if (how >= 0xf0) {
            record[in.byte() % record.size()] ^= static_cast<std::uint8_t>(1 + in.byte() % 255);
            s.damaged = true;
        } else if (type == static_cast<std::uint8_t>(tls_content::application_data) && !s.damaged) {
            s.sent.insert(s.sent.end(), content.begin(), content.end());
        }
        const auto cut = in.byte() * record.size() / 255;
        const std::size_t room = 1 + std::size_t{in.byte()} * 80;
        s.deliver(std::span(record).first(cut), room);
        s.deliver(std::span(record).subspan(cut), room);
    }
    require(s.over || s.damaged || s.received == s.sent);
    s.read_answers();
    return 0;
}
