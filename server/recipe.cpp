#include "server/recipe.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/link/tls/tls_files.hpp"
#include "server/networks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

namespace muxsocks::server {

recipe::recipe(config from) : settings(std::move(from)) {
    if (settings.tls.enabled) {
        tls_settings made;
        made.role = tls_role::server;
        made.certificate_file = settings.tls.cert;
        made.key_file = settings.tls.key;
        made.client_ca_file = settings.tls.client_ca;
        tls.emplace(made);
        if (!made.client_ca_file.empty()) warn_of_public_authority(made.client_ca_file);
    }
    const auto general = std::make_shared<const target_policy>(settings.destinations);
    for (std::size_t i = 0; i < settings.users.size(); ++i) {
        const auto& user = settings.users[i];
        auto policy = user.destinations
                          ? std::make_shared<const target_policy>(
                                *user.destinations, fmt::format("users[{}].destinations", i),
                                settings.destinations.deny)
                          : general;
        users.emplace(user.name,
                      user_record{user.token_sha256, user.limits, std::move(policy), user.terms});
    }
    const auto& limits = settings.limits.user;
    // A certificate of client_ca is enough where no users are listed.
    const bool by_certificate = settings.users.empty() && !settings.tls.client_ca.empty();
    if (settings.open_server || by_certificate)
        users.emplace("", user_record{{}, limits, general, {}});
    if (!settings.allow_v1.empty()) v1_user = user_record{{}, limits, general, {}};
    look_at_users();
}

void recipe::warn_of_public_authority(const std::string& client_ca) {
    const auto known = trusted_by_system(read_certificates(client_ca, "tls.client_ca"));
    if (!known) return;
    warnings.push_back(
        "tls.client_ca has " + *known +
        ", an authority that this system trusts for all the world's servers: who has "
        "a certificate from it may use this server. Make an authority of your own.");
}

const user_record* recipe::find_user(std::string_view name, unsigned version) const {
    if (version == 1) return v1_user ? &*v1_user : nullptr;
    const auto found = users.find(name);
    return found == users.end() ? nullptr : &found->second;
}

user_limit_settings recipe::limits_of(std::string_view whose) const {
    const auto found = users.find(whose);
    if (found != users.end()) return found->second.limits;
    boost::system::error_code error;
    const auto address =
        boost::asio::ip::make_address(std::string(whose.substr(0, whose.find('/'))), error);
    if (error || !in_networks(settings.limits.exempt, address)) return settings.limits.user;
    constexpr auto many = std::numeric_limits<std::uint32_t>::max();
    const auto memory = settings.memory.total;
    return {many, many, many, many, many, many, many, memory, memory};
}

const user_terms& recipe::terms_of(std::string_view whose) const {
    static const user_terms none;
    const auto found = users.find(whose);
    return found == users.end() ? none : found->second.terms;
}

bool recipe::is_counted(std::string_view whose) const {
    return !settings.accounting.file.empty() && !whose.empty() && users.contains(whose);
}

void recipe::look_at_users() {
    has_timed_users_ = !settings.accounting.file.empty();
    most_streams_ = v1_user || users.empty() ? settings.limits.user.streams : 0;
    for (const auto& [name, user] : users) {
        const auto& terms = user.terms;
        has_timed_users_ |= terms.has_expiry();
        has_quotas_ |= terms.quota.bytes > 0;
        has_upload_rates_ |= terms.rate.up > 0 || terms.quota.slow_rate.up > 0;
        most_streams_ = std::max(most_streams_, user.limits.streams);
    }
    most_streams_ = std::min(most_streams_, settings.limits.streams);
}

} // namespace muxsocks::server
