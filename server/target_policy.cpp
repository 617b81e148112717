#include "server/target_policy.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace muxsocks::server {

namespace {

namespace ip = boost::asio::ip;

/// A range that is not public.
struct special_range {
    network block;
    const char* kind;
    bool is_private = false;
};

constexpr network v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d,
                     std::uint8_t prefix) {
    return {.address = {a, b, c, d}, .prefix = prefix, .is_v4 = true};
}

constexpr network v6(std::array<std::uint16_t, 8> groups, std::uint8_t prefix) {
    network result{.address = {}, .prefix = prefix, .is_v4 = false};
    for (std::size_t i = 0; i < groups.size(); ++i) {
        result.address[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
        result.address[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xff);
    }
    return result;
}

constexpr const char* cloud = "a service address of a cloud platform (instance metadata)";

/// Source: the IANA registries of special-purpose addresses (RFC 6890), and addresses at which
/// clouds serve credentials to their machines. The first that fits counts.
constexpr std::array special_v4{
    special_range{v4(0, 0, 0, 0, 8), "an unspecified address, by which a machine means itself"},
    special_range{v4(10, 0, 0, 0, 8), "a private address", true},
    special_range{v4(100, 64, 0, 0, 10), "an address of a carrier's own network (RFC 6598)"},
    special_range{v4(127, 0, 0, 0, 8), "a loopback address", true},
    special_range{v4(168, 63, 129, 16, 32), cloud},
    special_range{v4(169, 254, 0, 0, 16),
                  "a link-local address, among which is the metadata service of clouds"},
    special_range{v4(172, 16, 0, 0, 12), "a private address", true},
    special_range{v4(192, 0, 0, 0, 24), "a reserved address (RFC 6890)"},
    special_range{v4(192, 0, 2, 0, 24), "an address for documentation"},
    special_range{v4(192, 88, 99, 0, 24), "an address of the former 6to4 relays"},
    special_range{v4(192, 168, 0, 0, 16), "a private address", true},
    special_range{v4(198, 18, 0, 0, 15), "an address for benchmarks"},
    special_range{v4(198, 51, 100, 0, 24), "an address for documentation"},
    special_range{v4(203, 0, 113, 0, 24), "an address for documentation"},
    special_range{v4(224, 0, 0, 0, 4), "a multicast address"},
    special_range{v4(255, 255, 255, 255, 32), "the broadcast address"},
    special_range{v4(240, 0, 0, 0, 4), "a reserved address"},
};

constexpr std::array special_v6{
    special_range{v6({}, 128), "the unspecified address, by which a machine means itself"},
    special_range{v6({0, 0, 0, 0, 0, 0, 0, 1}, 128), "a loopback address", true},
    special_range{v6({}, 96), "an IPv4-compatible address, a form that is no longer in use"},
    special_range{v6({0x64, 0xff9b, 1}, 48), "an address of a local NAT64 (RFC 8215)"},
    special_range{v6({0xfe80}, 10), "a link-local address"},
    special_range{v6({0xfec0}, 10), "a site-local address, a form that is no longer in use"},
    special_range{v6({0xfd00, 0xec2}, 32), cloud},
    special_range{v6({0xfd00, 0xc1}, 32), cloud},
    special_range{v6({0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42}, 128), cloud},
    special_range{v6({0xfd20, 0xce}, 32), cloud},
    special_range{v6({0xfc00}, 7), "a private address", true},
    special_range{v6({0xff00}, 8), "a multicast address"},
    special_range{v6({0x2001}, 32), "a Teredo address"},
    special_range{v6({0x2001}, 23), "a reserved address (RFC 2928)"},
    special_range{v6({0x2001, 0xdb8}, 32), "an address for documentation"},
    special_range{v6({0x3fff}, 20), "an address for documentation"},
};

/// All that IPv6 has assigned to hosts so far (RFC 4291 section 2.4, IANA).
constexpr network global_unicast = v6({0x2000}, 3);
constexpr special_range unassigned{network{}, "a reserved address"};

constexpr network nat64 = v6({0x64, 0xff9b}, 96);          // RFC 6052 section 2.1
constexpr network local_nat64 = v6({0x64, 0xff9b, 1}, 48); // RFC 8215
constexpr network six_to_four = v6({0x2002}, 16);          // RFC 3056 section 2

/// The bytes of an address, where the functions of network.hpp want them.
class address_bytes {
  public:
    explicit address_bytes(const ip::address& address) : is_v4_(address.is_v4()) {
        if (is_v4_) {
            const auto bytes = address.to_v4().to_bytes();
            std::copy(bytes.begin(), bytes.end(), bytes_.begin());
        } else {
            bytes_ = address.to_v6().to_bytes();
        }
    }
    operator std::span<const std::uint8_t>() const {
        return std::span(bytes_).first(is_v4_ ? 4 : 16);
    }

  private:
    std::array<std::uint8_t, 16> bytes_{};
    bool is_v4_;
};

ip::address v4_at(std::span<const std::uint8_t> bytes, std::size_t offset) {
    ip::address_v4::bytes_type inside;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), 4, inside.begin());
    return ip::address_v4(inside);
}

/// The IPv4 address that an IPv6 address leads to.
std::optional<ip::address> embedded_v4(const ip::address& address) {
    if (address.is_v4()) return std::nullopt;
    const address_bytes bytes(address);
    if (six_to_four.contains(bytes)) return v4_at(bytes, 2);
    // A local NAT64 may hold the address elsewhere, too (RFC 6052 section 2.2), but is not public
    // anyway.
    if (nat64.contains(bytes) || local_nat64.contains(bytes)) return v4_at(bytes, 12);
    return std::nullopt;
}

/// Null if the address is public by itself.
const special_range* special_range_of(const ip::address& address) {
    const address_bytes bytes(address);
    const auto search = [&](const auto& ranges) -> const special_range* {
        const auto found = std::find_if(ranges.begin(), ranges.end(), [&](const auto& range) {
            return range.block.contains(bytes);
        });
        return found == ranges.end() ? nullptr : &*found;
    };
    if (address.is_v4()) return search(special_v4);
    if (const special_range* found = search(special_v6)) return found;
    return global_unicast.contains(bytes) || nat64.contains(bytes) ? nullptr : &unassigned;
}

constexpr std::uint16_t smtp_port = 25;

/// Where the rules stand that are nobody's own.
constexpr const char* general_key = "destinations";

const network* rule_for(const std::vector<network>& rules, const ip::address& address) {
    const address_bytes bytes(address);
    const auto found = std::find_if(rules.begin(), rules.end(),
                                    [&](const network& rule) { return rule.contains(bytes); });
    return found == rules.end() ? nullptr : &*found;
}

} // namespace

target_policy::target_policy(destination_settings rules, std::string key,
                             std::vector<network> general_deny)
    : rules_(std::move(rules)),
      key_(std::move(key)),
      of_user_(key_ != general_key),
      general_deny_(std::move(general_deny)) {}

bool target_policy::is_port_listed(std::uint16_t port) const {
    if (rules_.ports.empty()) return port != smtp_port;
    return std::any_of(rules_.ports.begin(), rules_.ports.end(), [port](const port_range& range) {
        return port >= range.first && port <= range.last;
    });
}

target_policy::finding target_policy::judge(const ip::address& target, std::uint16_t port,
                                            own_addresses& own) const {
    using reason = finding::reason;
    // Both forms of the address; the second is the first where there is but one.
    const ip::address address = unmapped(target);
    const std::optional<ip::address> inside = embedded_v4(address);
    const auto either = [&](auto&& test) {
        const auto found = test(address);
        return found || !inside ? found : test(*inside);
    };
    const auto denied = [&](const ip::address& one) { return rule_for(rules_.deny, one); };
    const auto allowed = [&](const ip::address& one) { return rule_for(rules_.allow, one); };

    const auto denied_in_general = [&](const ip::address& one) {
        return rule_for(general_deny_, one);
    };
    if (const network* rule = either(denied_in_general))
        return {.why = reason::denied, .rule = rule, .is_general = true};
    if (const network* rule = either(denied)) return {.why = reason::denied, .rule = rule};
    if (!is_port_listed(port)) return {.why = reason::port};
    if (either(allowed) != nullptr) return {};
    if (const special_range* range = either(special_range_of)) {
        if (range->is_private && rules_.allow_private) return {};
        return {.why = reason::not_public,
                .kind = range->kind,
                .range = range == &unassigned ? nullptr : &range->block,
                .allow_private_lifts_it = range->is_private};
    }
    if (rules_.allow_private) return {};
    if (either([&](const ip::address& one) { return own.contains(one); })) {
        return {.why = reason::own,
                .kind = "an address of the server itself",
                .allow_private_lifts_it = true};
    }
    return {};
}

std::optional<std::string> target_policy::refusal(const ip::address& address, std::uint16_t port,
                                                  own_addresses& own) const {
    const finding found = judge(address, port, own);
    if (found.why == finding::reason::none) return std::nullopt;
    return sentence(found, address.to_string(), port);
}

bool target_policy::allows(const ip::address& address, own_addresses& own) const {
    const std::uint16_t port = rules_.ports.empty() ? 443 : rules_.ports.front().first;
    return judge(address, port, own).why == finding::reason::none;
}

std::string target_policy::sentence(const finding& found, const std::string& target,
                                    std::uint16_t port) const {
    switch (found.why) {
    case finding::reason::denied:
        return target + " is denied by \"" + to_string(*found.rule) + "\" in " + deny_key(found);
    case finding::reason::port:
        if (rules_.ports.empty())
            return "port 25 is for mail between servers, which open proxies are abused for; " +
                   key_ + ".ports can permit it, as in [\"1-65535\"]";
        return "port " + std::to_string(port) + " is not in " + key_ + ".ports";
    default:
        return target + " is " + found.kind + "; " + permission(found);
    }
}

std::string target_policy::deny_key(const finding& found) const {
    return (found.is_general ? general_key : key_) + ".deny";
}

std::string target_policy::permission(const finding& found) const {
    return (found.allow_private_lifts_it
                ? "\"allow_private\": true in " + key_ + ", or its range in " + key_ + ".allow,"
                : "its range in " + key_ + ".allow") +
           " would permit it";
}

std::string target_policy::range_refused(const ip::address& address, std::uint16_t port,
                                         own_addresses& own) const {
    const finding found = judge(address, port, own);
    switch (found.why) {
    case finding::reason::none:
        return {};
    case finding::reason::denied:
        return "a target in " + to_string(*found.rule) + ", which is in " + deny_key(found);
    case finding::reason::port:
        if (rules_.ports.empty())
            return "port 25, for mail between servers, which " + key_ + ".ports can permit";
        return "a port that is not in " + key_ + ".ports";
    default:
        return std::string(found.range != nullptr ? "a target in " + to_string(*found.range)
                                                  : "a target") +
               ", " + found.kind + "; " + permission(found);
    }
}

denied_by target_policy::rule_refused(const ip::address& address, std::uint16_t port,
                                      own_addresses& own) const {
    const auto found = judge(address, port, own);
    switch (found.why) {
    case finding::reason::port:
        return of_user_ ? denied_by::user : denied_by::port;
    case finding::reason::not_public:
        return denied_by::not_public;
    case finding::reason::own:
        return denied_by::own;
    default:
        return of_user_ && !found.is_general ? denied_by::user : denied_by::deny;
    }
}

} // namespace muxsocks::server
