#include "protocol/link/dial/failed_names.hpp"

#include "protocol/link/dial/resolve_error.hpp"

namespace muxsocks {

namespace {

std::chrono::seconds time_to_keep(std::error_code error) {
    if (error == resolve_errc::not_found || error == resolve_errc::no_address)
        return failed_names::kept_when_answered;
    if (error == resolve_errc::server_failure || error == resolve_errc::timed_out)
        return failed_names::kept_when_not;
    return std::chrono::seconds(0);
}

} // namespace

void failed_names::add(std::string_view name, std::error_code error, clock::time_point now) {
    const auto kept = time_to_keep(error);
    if (kept == std::chrono::seconds(0)) return;
    const failure what{error, now + kept};
    if (const auto known = names_.find(name); known != names_.end()) {
        known->second = what;
        return;
    }
    if (names_.size() == names_max) {
        names_.erase(names_.find(*order_.front()));
        order_.pop_front();
    }
    order_.push_back(&names_.emplace(name, what).first->first);
}

std::error_code failed_names::find(std::string_view name, clock::time_point now) const {
    const auto known = names_.find(name);
    if (known == names_.end() || now >= known->second.until) return {};
    return known->second.error;
}

void failed_names::clear() {
    names_.clear();
    order_.clear();
}

} // namespace muxsocks
