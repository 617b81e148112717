// The state of a session, from whoever hands one over: no input may do more than be refused, and a
// session that goes on from one can be joined, laid, saved again and ended.

#include "protocol/session/session.hpp"
#include "protocol/session/state.hpp"
#include "tests/sim/test_crypto.hpp"

#include <cstdlib>

using namespace muxsocks;

namespace {

/// The sum is what every input has right.
crypto_functions crypto_without_sums() {
    auto made = sim::test_crypto();
    made.sha256 = [](std::span<const bytes_view>) { return digest{}; };
    return made;
}

session_settings settings_of(role side, chunk_pool& pool) {
    session_settings made;
    made.side = side;
    made.crypto = crypto_without_sums();
    made.pool = &pool;
    made.session_memory = 256 * 1024;
    return made;
}

void lay_all(session& core, link_number link, instant now) {
    for (int turns = 0; core.wants_turn(link) && turns < 1000; ++turns) {
        core.begin_turn(link, now);
        while (const auto slot = core.next_read())
            core.on_read(*slot, 0, read_outcome::drained);
        chunk_ref keep;
        core.end_turn(keep);
    }
    while (core.next_event()) {
    }
    core.end_batch();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto crypto = crypto_without_sums();
    // The input is what stands between head and sum.
    std::vector<std::uint8_t> bytes = encode(session_state{}, crypto);
    if (size == 0) return 0;
    bytes.resize(18);
    bytes.insert(bytes.end(), data, data + size);
    const std::uint8_t end[] = {0, 0, 0, 33, 255};
    bytes.insert(bytes.end(), std::begin(end), std::end(end));
    bytes.resize(bytes.size() + 32);
    std::error_code why;
    const auto state = decode_state(bytes, crypto, why);
    if (!state) {
        if (!why) std::abort();
        return 0;
    }
    chunk_pool pool;
    instant now{std::chrono::hours(1)};
    session core(settings_for(settings_of(state->side, pool), *state), now);
    const auto streams = core.restore(*state, now);
    if (streams.size() != state->streams.size()) std::abort();
    while (core.next_event()) {
    }
    core.end_batch();
    if (!core.may_be_saved() || !is_possible(core.save(now, {}))) std::abort();
    link_number link = 0;
    if (state->side == role::client) {
        link = core.join({}, now);
        const join_ok_frame answer{link, core.proofs().join_ok_proof(link, {})};
        core.on_bytes(link, control_frame(encode(answer)), now);
    } else {
        link = state->highest_link + 1;
        join_frame asked;
        asked.id = core.id();
        asked.number = link;
        asked.proof = core.proofs().join_proof(link, {});
        if (core.on_join(asked, {}, now)) return 0;
    }
    lay_all(core, link, now);
    // One with the last number that a state may have next has none now.
    const bool numbers_left = state->next_link < 0xffff'0000;
    if (core.has_link(link) && core.may_be_saved() && numbers_left &&
        !is_possible(core.save(now, {})))
        std::abort();
    now += std::chrono::seconds(20);
    core.on_deadline(now);
    lay_all(core, link, now);
    core.close(close_code::normal, errc::closed_locally, "");
    lay_all(core, link, now);
    return 0;
}
