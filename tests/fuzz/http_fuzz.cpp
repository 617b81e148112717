/// \file
/// Any bytes at the parsers of http/. Beyond memory errors it states: what passes is cut the same
/// whatever the pieces, a head that is passed on reads the same again and frames the same body, and
/// no byte of a body is changed.
///
/// Input: one byte that selects, one that seeds the cuts, then the bytes.

#include "http/answer_passage.hpp"
#include "http/authority.hpp"
#include "http/basic_credentials.hpp"
#include "http/capsules.hpp"
#include "http/forwarded_head.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace muxsocks::http;

void require(bool fact, const char* text) {
    if (fact) return;
    std::cerr << "violated: " << text << '\n';
    std::abort();
}

/// The sizes of pieces; 0 gives one piece.
class cutter {
  public:
    explicit cutter(unsigned seed) : state_(seed) {}
    std::size_t next(std::size_t most) {
        if (state_ == 0) return most;
        state_ = state_ * 1'103'515'245u + 12'345u | 1u;
        return std::min<std::size_t>(most, 1 + (state_ >> 16) % 17);
    }

  private:
    unsigned state_;
};

void check_request(std::string_view bytes) {
    head_end whole;
    const auto size = whole.find(bytes);
    head_end bytewise;
    std::size_t found = 0;
    for (std::size_t i = 1; i <= bytes.size() && found == 0 && !bytewise.fault(); ++i)
        found = bytewise.find(bytes.substr(0, i));
    require(found == size, "a head ends at one place");
    require(bool(bytewise.fault()) == bool(whole.fault()), "a fault does not depend on the pieces");
    if (size == 0) return;
    request_head parsed;
    if (parse(bytes.substr(0, size), parsed)) return;
    const auto target = parse_absolute(parsed.target);
    if (!target) return;
    const auto to = parse_authority(target->authority, 80);
    if (!to) return;
    const auto text = forwarded(parsed, *to, target->rest);
    head_end again;
    require(again.find(text) == text.size(), "what is passed on is one head");
    request_head read;
    require(!parse(text, read), "what is passed on is right");
    require(read.body == parsed.body && read.length == parsed.length, "the body stays the same");
    require(read.method == parsed.method, "the method stays the same");
    require(!read.has("proxy-authorization"), "no password goes on");
}

struct outcome {
    std::string passed;
    bool complete = false;
    bool wrong = false;
    bool operator==(const outcome&) const = default;
};

outcome pass(std::string_view bytes, unsigned cuts, const asked& by) {
    answer_passage passage(by);
    cutter cut(cuts);
    outcome result;
    while (!bytes.empty() && !passage.complete() && !passage.fault()) {
        auto piece = bytes.substr(0, cut.next(bytes.size()));
        while (!piece.empty() && !passage.complete() && !passage.fault()) {
            const auto step = passage.next(piece);
            require(step.used <= piece.size(), "used is at most what was given");
            require(step.used > 0 || passage.fault(), "it goes on");
            result.passed += step.as_they_are ? piece.substr(0, step.used) : step.text;
            piece.remove_prefix(step.used);
            bytes.remove_prefix(step.used);
        }
    }
    result.complete = passage.complete();
    result.wrong = bool(passage.fault());
    return result;
}

void check_answer(std::string_view bytes, unsigned cuts, unsigned flags) {
    const asked by{(flags & 1) != 0 ? "HEAD" : "GET", (flags & 2) != 0, (flags & 4) != 0,
                   (flags & 8) != 0};
    const auto whole = pass(bytes, 0, by);
    require(pass(bytes, cuts, by) == whole, "pieces make no difference");
}

std::vector<std::string> datagrams_in(std::string_view bytes, cutter pieces) {
    capsule_reader reader;
    std::vector<std::string> found;
    while (!bytes.empty() && !reader.failed()) {
        auto piece = bytes.substr(0, pieces.next(bytes.size()));
        bytes.remove_prefix(piece.size());
        while (!piece.empty() && !reader.failed()) {
            const auto made = reader.next(piece);
            require(made.used > 0 && made.used <= piece.size(), "a capsule reader goes on");
            piece.remove_prefix(made.used);
            if (made.datagram) found.emplace_back(*made.datagram);
        }
    }
    return found;
}

void check_capsules(std::string_view bytes, unsigned cuts) {
    const auto whole = datagrams_in(bytes, cutter(0));
    require(datagrams_in(bytes, cutter(cuts)) == whole, "capsules do not depend on the pieces");
    std::string again;
    for (const auto& each : whole)
        again += capsule_front(each.size()) + each;
    require(datagrams_in(again, cutter(0)) == whole, "what is written is read again");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const unsigned cuts = data[1] + 1u;
    switch (data[0] % 4) {
    case 0:
        check_request(bytes);
        break;
    case 1:
        (void)parse_authority(bytes, 80);
        (void)parse_basic(bytes);
        (void)parse_absolute(bytes);
        (void)parse_udp_path(bytes);
        check_capsules(bytes, cuts);
        break;
    default:
        check_answer(bytes, cuts, data[0] >> 2);
        break;
    }
    return 0;
}
