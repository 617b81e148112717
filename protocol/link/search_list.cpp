#include "protocol/link/search_list.hpp"

#include "protocol/link/host_name.hpp"

#include <algorithm>
#include <resolv.h>

namespace muxsocks {

std::vector<std::string> search_list::candidates(std::string_view name) const {
    std::vector<std::string> names;
    const std::string plain = canonical_host_name(name);
    const bool complete = name.ends_with('.');
    const auto dots = std::count(plain.begin(), plain.end(), '.');
    const bool plain_first = complete || dots >= static_cast<std::ptrdiff_t>(dots_min);
    if (plain_first) names.push_back(plain);
    for (const std::string& domain : domains) {
        if (complete) break;
        std::string longer = plain + '.' + canonical_host_name(domain);
        if (is_host_name(longer)) names.push_back(std::move(longer));
    }
    if (!plain_first) names.push_back(plain);
    return names;
}

system_dns read_system_dns() {
    system_dns result;
    struct __res_state state {};
    if (res_ninit(&state) != 0) return result;
    for (const char* domain : state.dnsrch) {
        if (domain == nullptr) break;
        result.search.domains.emplace_back(domain);
    }
    result.search.dots_min = state.ndots;
    result.servers = static_cast<unsigned>(std::max(state.nscount, 1));
    res_nclose(&state);
    return result;
}

} // namespace muxsocks
