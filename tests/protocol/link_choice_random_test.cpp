#include "protocol/link_choice.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <random>
#include <vector>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr auto none = link_roles::none;

/// A client that does what it is told, with links that come, answer, fall silent and go as a seed
/// says. What must hold whatever happens is looked at after each step.
class random_session {
  public:
    explicit random_session(unsigned seed) : random_(seed), max_(1 + seed % 3), choice_(max_) {
        add();
    }

    /// One step; empty, or a sentence that says what does not hold.
    const char* step() {
        now_ += duration(pick(1, 700)) * 1'000'000;
        happen();
        choice_.update(links_, streams_, now_);
        if (const char* const wrong = wrong_roles()) return wrong;
        if (const char* const wrong = wrong_demand()) return wrong;
        carry_out();
        return nullptr;
    }
    /// Whether one link is left when nobody has needed more for long.
    bool comes_to_rest() {
        calm_ = true;
        streams_ = {};
        for (auto& link : links_)
            link.avoided = false;
        for (int i = 0; i < 1000; ++i)
            if (step() != nullptr) return false;
        return links_.size() == 1;
    }
    unsigned most_links() const { return most_links_; }

  private:
    unsigned pick(unsigned low, unsigned high) {
        return std::uniform_int_distribution<unsigned>(low, high)(random_);
    }
    bool chance(unsigned percent) { return pick(1, 100) <= percent; }

    void add() {
        link_facts link;
        link.number = next_++;
        link.bbr = chance(50);
        link.rtt_min = link.rtt = duration(pick(1, 300)) * 1'000'000;
        links_.push_back(link);
    }
    void happen() {
        if (dialling_ && chance(calm_ ? 100 : 40)) end_dial();
        std::erase_if(links_, [&](const link_facts& link) { return link.leaving && chance(50); });
        if (!calm_ && links_.size() > 1 && chance(2))
            links_.erase(links_.begin() + pick(0, static_cast<unsigned>(links_.size()) - 1));
        if (links_.empty()) add(); // somebody else dials the only link
        if (!calm_ && chance(20)) streams_ = {pick(0, 3), pick(0, 3), pick(0, 30)};
        for (auto& link : links_) {
            link.avoided = !calm_ && chance(link.avoided ? 40 : 5);
            link.retransmits += chance(5) ? 1 : 0;
            link.out_of_order += chance(5) ? 1 : 0;
            link.rtt = link.rtt_min + duration(pick(0, 300)) * 1'000'000;
            link.unsent_bytes = chance(50) ? 0 : pick(0, 1'000'000);
            link.in_flight_bytes = pick(0, 1'000'000);
            link.sent_bytes_per_second = chance(50) ? 0 : pick(0, 10'000'000);
            link.bound_bytes = chance(50) ? 0 : pick(1, 1'000'000);
        }
    }
    void end_dial() {
        using dial_end = link_demand::dial_end;
        dialling_ = false;
        const bool joins = calm_ || chance(70);
        choice_.on_dial_ended(joins        ? dial_end::joined
                              : chance(50) ? dial_end::failed
                                           : dial_end::elsewhere,
                              now_);
        if (joins) add();
    }
    void carry_out() {
        if (choice_.dial_due()) {
            choice_.on_dial(now_);
            dialling_ = true;
        }
        for (auto& link : links_)
            if (choice_.to_close() == link.number) link.leaving = true;
        most_links_ = std::max(most_links_, static_cast<unsigned>(links_.size()));
    }

    const link_facts* taking(link_number number) const {
        const auto found = std::find_if(links_.begin(), links_.end(), [&](const link_facts& link) {
            return link.number == number && !link.leaving;
        });
        return found == links_.end() ? nullptr : &*found;
    }
    const char* wrong_roles() const {
        const link_number small = choice_.roles().small;
        const link_number twice = choice_.roles().twice;
        const auto& bulk = choice_.roles().bulk;
        std::vector<link_number> used{small};
        if (twice != none) used.push_back(twice);
        const auto trusted = std::count_if(links_.begin(), links_.end(), [&](const link_facts& l) {
            return !l.leaving && !l.avoided;
        });
        const bool any = std::any_of(links_.begin(), links_.end(),
                                     [](const link_facts& l) { return !l.leaving; });
        if (!any) return small == none && bulk[0] == none ? nullptr : "a link has a role in vain";
        for (std::size_t i = 0; i < bulk.size(); ++i) {
            if (bulk[i] == none) continue;
            if (i > 0 && bulk[i - 1] == none) return "there is a gap in the links for bulk";
            if (std::count(bulk.begin(), bulk.end(), bulk[i]) != 1) return "a link has bulk twice";
            used.push_back(bulk[i]);
        }
        if (bulk[0] == none || small == none) return "somebody has no link though there is one";
        for (const auto number : used) {
            if (taking(number) == nullptr) return "a role has gone to a link that takes nothing";
            if (trusted > 0 && taking(number)->avoided) return "an avoided link has a role";
        }
        const auto is_bulk = [&](link_number number) {
            return std::find(bulk.begin(), bulk.end(), number) != bulk.end();
        };
        if (twice == small) return "the second link is the first";
        if (streams_.bulk_out == 0) return nullptr;
        if (twice != none && is_bulk(twice)) return "small frames go twice beside bulk";
        if (trusted > 1 && streams_.others > 0 && is_bulk(small)) return "the others wait for bulk";
        return nullptr;
    }
    const char* wrong_demand() const {
        const auto close = choice_.to_close();
        if (choice_.dial_due() && close) return "a link is dialled and one closed";
        if (choice_.dial_due() && dialling_) return "two dials at a time";
        if (choice_.dial_due() && links_.size() > max_) return "too many links";
        if (close && (links_.size() < 2 || taking(*close) == nullptr))
            return "the last link closed";
        if (choice_.bulk_bytes() > bulk_meter::usual_bytes ||
            choice_.bulk_bytes() < link_choice::bulk_bytes_min)
            return "bulk_bytes is out of its bounds";
        if (choice_.deadline() && *choice_.deadline() <= now_) return "the deadline has passed";
        return nullptr;
    }

    std::mt19937 random_;
    unsigned max_;
    link_choice choice_;
    std::vector<link_facts> links_;
    stream_facts streams_;
    instant now_{1h};
    link_number next_ = 0;
    bool dialling_ = false;
    bool calm_ = false;
    unsigned most_links_ = 0;
};

} // namespace

TEST_CASE("whatever happens to its links, a session has them in order") {
    unsigned most = 0;
    for (unsigned seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        random_session session(seed);
        for (int i = 0; i < 300; ++i) {
            const char* const wrong = session.step();
            if (wrong != nullptr) FAIL(wrong << ", at step " << i);
        }
        REQUIRE(session.comes_to_rest());
        most = std::max(most, session.most_links());
    }
    CHECK(most == 4); // three, and one that replaces another
}
