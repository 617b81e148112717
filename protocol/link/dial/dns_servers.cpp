#include "protocol/link/dial/dns_servers.hpp"

#include <algorithm>
#include <numeric>

namespace muxsocks {

std::vector<std::size_t> dns_servers::order() const {
    std::vector<std::size_t> indices(states_.size());
    std::iota(indices.begin(), indices.end(), std::size_t{0});
    std::stable_partition(indices.begin(), indices.end(),
                          [this](std::size_t each) { return !is_silent(each); });
    return indices;
}

std::size_t dns_servers::take_probe(clock::time_point now) {
    for (std::size_t i = 0; i < states_.size(); ++i) {
        if (!is_silent(i) || now < states_[i].probe_due) continue;
        states_[i].probe_due = now + between_probes_;
        return i;
    }
    return states_.size();
}

void dns_servers::on_silence(std::size_t server, clock::time_point now) {
    state& one = states_[server];
    if (++one.silences == silences_max) one.probe_due = now + between_probes_;
}

} // namespace muxsocks
