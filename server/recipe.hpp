#pragma once

/// \file
/// What a configuration means at run time: TLS context, users, rules. Immutable and shared by all
/// threads; a reload makes a new one.

#include "protocol/link/tls/tls_context.hpp"
#include "protocol/session/control.hpp"
#include "server/config.hpp"
#include "server/target_policy.hpp"

#include <map>
#include <memory>
#include <optional>

namespace muxsocks::server {

struct user_record {
    digest key{}; ///< SHA-256 of the token; zeros: no token is asked for.
    user_limit_settings limits;
    std::shared_ptr<const target_policy> policy;
    user_terms terms;
};

struct recipe {
    /// Reads the TLS files; throws std::runtime_error with a sentence.
    explicit recipe(config from);

    /// The user of a session. A version 1 client has no name and no token: it may come in where
    /// allow_v1 says, and nobody else may because of it. In version 2 those who may come in
    /// without a token ("") are known like any user.
    const user_record* find_user(std::string_view name, unsigned version) const;
    /// What a user may hold, by name, or by the certificate's subject or address that stands for
    /// one. Addresses of limits.exempt, behind which there are many, have no bound.
    user_limit_settings limits_of(std::string_view whose) const;
    /// On which terms; those of users whom the configuration does not name have no bound.
    const user_terms& terms_of(std::string_view whose) const;
    /// Whether somebody has to look at users as time goes by.
    bool has_timed_users() const { return has_timed_users_; }
    bool has_quotas() const { return has_quotas_; }
    /// Whether uploads of somebody keep to a rate, now or when a quota is used up.
    bool has_upload_rates() const { return has_upload_rates_; }
    /// Whether what this user moves is kept: those that the configuration names, where there is
    /// accounting.
    bool is_counted(std::string_view whose) const;
    /// Streams that some user may have at once, which is what a session is told before it has said
    /// whose it is.
    std::uint32_t most_streams() const { return most_streams_; }

    config settings;
    std::optional<tls_context> tls;
    std::map<std::string, user_record, std::less<>> users;
    std::optional<user_record> v1_user;
    std::vector<std::string> warnings; ///< Sentences for the log.

  private:
    void look_at_users();
    void warn_of_public_authority(const std::string& client_ca);

    // Each link asks, and there may be thousands of users.
    bool has_timed_users_ = false;
    bool has_quotas_ = false;
    bool has_upload_rates_ = false;
    std::uint32_t most_streams_ = 0;
};

} // namespace muxsocks::server
