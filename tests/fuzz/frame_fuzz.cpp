// Headers and payloads of control frames, straight from the wire: no input may do more than be
// refused, and what is accepted comes back the same when it is encoded again.

#include "protocol/session/control.hpp"
#include "protocol/session/frame_rules.hpp"

#include <cstdlib>

using namespace muxsocks;

namespace {

template <typename Frame>
void same_again(const std::optional<Frame>& frame, bytes_view payload) {
    if (!frame) return;
    const auto again = encode(*frame);
    if (again.size() > payload.size()) std::abort();
    // The type byte was the caller's to look at.
    for (std::size_t i = 1; i < again.size(); ++i)
        if (again[i] != payload[i]) std::abort();
}

/// HELLO may carry TLVs that are skipped, and others in any order.
void same_meaning(const std::optional<hello_frame>& hello) {
    if (!hello) return;
    const auto once = encode(*hello);
    const auto again = decode_hello(once);
    if (!again || encode(*again) != once) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < frame_header_size + 1) return 0;
    const auto header = decode_header(data);
    (void)check_header(header, 1);
    (void)check_header(header);
    const bytes_view payload(data + frame_header_size, size - frame_header_size);
    same_meaning(decode_hello(payload));
    same_again(decode_auth(payload), payload);
    same_again(decode_auth_ok(payload), payload);
    same_again(decode_join(payload), payload);
    same_again(decode_join_ok(payload), payload);
    same_again(decode_join_fail(payload), payload);
    same_again(decode_goaway(payload), payload);
    same_again(decode_close(payload), payload);
    same_again(decode_drop(payload), payload);
    same_again(decode_notice(payload), payload);
    (void)decode_u64(payload);
    return 0;
}
