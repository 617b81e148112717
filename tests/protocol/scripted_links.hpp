#pragma once

/// \file
/// A session's links for the tests of link_choice: on a clock that the test moves, with facts that
/// it sets.

#include "protocol/link_choice.hpp"

#include <algorithm>
#include <vector>

namespace muxsocks::tests {

using namespace std::chrono_literals;

/// A session's links, looked at four times a second. None is avoided unless a test says so.
struct scripted_links {
    link_choice choice;
    std::vector<link_facts> links;
    stream_facts streams;
    instant now{1h};

    explicit scripted_links(unsigned count, unsigned links_max = 3) : choice(links_max) {
        for (link_number number = 0; number < count; ++number)
            add(number);
        look();
    }
    link_facts& add(link_number number, duration rtt = 100ms) {
        link_facts link;
        link.number = number;
        link.bbr = true;
        link.rtt = link.rtt_min = rtt;
        links.push_back(link);
        return links.back();
    }
    link_facts& operator[](link_number number) {
        return *std::find_if(links.begin(), links.end(),
                             [&](const link_facts& link) { return link.number == number; });
    }
    void remove(link_number number) {
        std::erase_if(links, [&](const link_facts& link) { return link.number == number; });
    }
    void look(duration later = 250ms) {
        now += later;
        choice.update(links, streams, now);
    }
    void run(duration time) {
        for (const auto end = now + time; now < end;)
            look();
    }
    void lose(link_number number) {
        ++(*this)[number].retransmits;
        look();
    }
    void bulk_beside_others() {
        streams = {1, 0, 3};
        look();
    }
    void avoid(link_number number) {
        (*this)[number].avoided = true;
        look();
    }
    const link_roles& roles() const { return choice.roles(); }
};

} // namespace muxsocks::tests
