#pragma once

/// \file
/// What a configuration means for links: TLS context and session settings. Immutable; a reload
/// makes a new one.

#include "client/config.hpp"
#include "protocol/link/dial/happy_eyeballs.hpp"
#include "protocol/link/link.hpp"
#include "protocol/link/link_thread.hpp"
#include "protocol/link/tls/tls_context.hpp"
#include "protocol/session/session.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace muxsocks::client {

struct link_recipe {
    config settings;
    std::optional<tls_context> tls; ///< None: plain links.
    /// Called with each new socket of a link, besides the usual options; may be empty.
    std::function<void(int descriptor)> before_connect;
};

/// Reads the TLS files; throws config_error with a sentence.
std::shared_ptr<const link_recipe> make_recipe(config settings);

/// For a link's connection, with segments of at most so many bytes; 0: as the system has them.
connect_options make_connect_options(const std::shared_ptr<const link_recipe>& recipe,
                                     std::uint32_t segment_bytes);

/// TLS with that server, whatever address it is dialled at; none for plain links.
std::optional<tls_engine> make_engine(const link_recipe& recipe, const server_entry& server);

/// `may_be_v1`: a version 1 server is accepted. `behind_join`: the link has carried a JOIN that
/// failed.
session_settings make_session_settings(const config& settings, link_thread& thread, bool may_be_v1,
                                       bool behind_join = false);

} // namespace muxsocks::client
