#include "server/user_terms.hpp"

#include "protocol/error.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/values.hpp"

namespace muxsocks::server {

std::string user_terms::expiry_sentence() const {
    // By these words a client knows it.
    return make_error_code(errc::user_expired).message() + ", on " + format_time(expires) +
           " (users[].expires)";
}

namespace {

constexpr std::uint64_t user_rate_min = 8'000;
constexpr std::uint64_t user_rate_max = 100'000'000'000;

void bind_user_rate(config_section& section, user_rate& rate) {
    const auto kind = kinds::bit_rate(user_rate_min, user_rate_max);
    section.field("up", rate.up, kind, "", {});
    section.field("down", rate.down, kind, "", {});
}

void bind_user_quota(config_section& section, quota_settings& quota) {
    using counted = quota_settings::counted;
    using consequence = quota_settings::consequence;
    section.field("bytes", quota.bytes, kinds::size(1, 1ULL << 60), "", {.required = true});
    section.field("per", quota.per, kinds::choice<quota_period>({"day", "week", "month", "ever"}),
                  "", {});
    section.field("count", quota.count, kinds::choice<counted>({"both", "down", "up"}), "", {});
    section.field("then", quota.then, kinds::choice<consequence>({"stop", "slow"}), "", {});
    std::optional<user_rate> slow;
    section.optional_section("rate", slow, bind_user_rate, "object", "", {});
    if (slow) quota.slow_rate = *slow;
    if (!section.reading()) return;
    const bool slows = quota.then == consequence::slow;
    if (slows && quota.slow_rate == user_rate{})
        section.fail("rate", "this key is missing: how slow, as in {\"down\": \"1Mbit\"}");
    if (!slows && slow) section.fail("rate", "this key belongs to \"then\": \"slow\"");
}

} // namespace

void bind_user_terms(config_section& section, user_terms& terms) {
    section.field("expires", terms.expires, kinds::point_in_time(),
                  "From then on the user is refused, and told why. Sessions that stand get no new "
                  "streams, and end 60 seconds later.",
                  {.default_text = "never"});
    section.field("max_addresses", terms.max_addresses, kinds::number(0, 100'000),
                  "Addresses that the user's sessions with a link may come from at once; of IPv6 a "
                  "/64 is one. A session counts where its newest link came from, and those of "
                  "`limits.exempt` do not count. 0: any number.");
    std::optional<user_rate> rate;
    section.optional_section(
        "rate", rate, bind_user_rate, "object",
        "What the user's streams may carry together, over all sessions, in bits a second: "
        "`{\"up\": \"5Mbit\", \"down\": \"20Mbit\"}`, from 8kbit to 100Gbit, one of both or "
        "both. Downloads are read no faster, uploads are asked for no faster.",
        {.default_text = "no bound"});
    if (rate) terms.rate = *rate;
    std::optional<quota_settings> quota;
    section.optional_section(
        "quota", quota, bind_user_quota, "object",
        "How many bytes the user may move: `bytes`, a size; `per` `\"day\"`, `\"week\"`, "
        "`\"month\"` (the default; UTC) or `\"ever\"`; `count` `\"both\"` (the default), "
        "`\"down\"` or `\"up\"`; `then` `\"stop\"` (the default) or `\"slow\"`, with a `rate` "
        "like the one above. Needs `accounting.file`.",
        {.default_text = "no bound"});
    if (quota) terms.quota = *quota;
    section.field("udp", terms.udp, kinds::boolean(),
                  "Whether this user may send and receive datagrams, where `udp.enabled` is true.");
}

} // namespace muxsocks::server
