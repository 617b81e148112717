#include "client/link_recipe.hpp"

#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/config_error.hpp"

namespace muxsocks::client {
namespace {

/// Beyond what keepalive waits for, before the kernel gives a connection up by itself.
constexpr std::chrono::seconds user_timeout_margin{10};

} // namespace

std::shared_ptr<const link_recipe> make_recipe(config settings) {
    auto made = std::make_shared<link_recipe>();
    if (settings.tls.enabled) {
        tls_settings tls;
        tls.role = tls_role::client;
        tls.ca_file = settings.tls.ca;
        tls.server_name = settings.tls.server_name;
        for (const auto& pin : settings.tls.pin_sha256)
            tls.pins.push_back(pin_text(pin));
        tls.certificate_file = settings.tls.cert;
        tls.key_file = settings.tls.key;
        try {
            made->tls.emplace(tls);
        } catch (const std::exception& error) {
            throw config_error(error.what());
        }
    }
    made->settings = std::move(settings);
    return made;
}

connect_options make_connect_options(const std::shared_ptr<const link_recipe>& recipe,
                                     std::uint32_t segment_bytes) {
    const auto& settings = recipe->settings;
    connect_options options;
    options.timeout = settings.timeouts.connect;
    link_options sockets;
    sockets.congestion = settings.link.congestion;
    sockets.user_timeout =
        settings.keepalive.interval + settings.keepalive.timeout + user_timeout_margin;
    sockets.segment_max = segment_bytes;
    options.before_connect = [sockets, recipe](int descriptor) {
        set_link_options(descriptor, sockets);
        if (recipe->before_connect) recipe->before_connect(descriptor);
    };
    return options;
}

std::optional<tls_engine> make_engine(const link_recipe& recipe, const server_entry& server) {
    if (!recipe.tls) return {};
    auto name = server.server_name;
    if (name.empty()) name = recipe.settings.tls.server_name;
    if (name.empty()) name = server.address.host;
    return tls_engine(*recipe.tls, name);
}

session_settings make_session_settings(const config& settings, link_thread& thread, bool may_be_v1,
                                       bool behind_join) {
    session_settings made;
    made.side = role::client;
    made.crypto = session_crypto();
    made.pool = &thread.chunks();
    made.budget = &thread.budget();
    made.stream_window_max = settings.memory.stream_window;
    made.session_memory = settings.memory.session;
    made.keepalive = {settings.keepalive.interval, settings.keepalive.timeout};
    // And one that takes the place of another.
    made.max_links = static_cast<std::uint8_t>(settings.link.max + 1);
    made.resume = settings.resume.enabled;
    made.datagrams = settings.udp.enabled;
    made.channel_binding = settings.tls.enabled && settings.tls.channel_binding;
    made.allow_v1 = may_be_v1 && !behind_join;
    made.first_frame_seen = behind_join;
    made.handshake_timeout = settings.timeouts.handshake;
    made.frame_timeout = settings.timeouts.frame;
    // A little below what servers allow by default, since the two count at different times.
    made.flood.resets_per_second = 30;
    made.flood.resets_burst = 900;
    made.user = settings.auth.user;
    made.key = settings.auth.token_sha256;
    return made;
}

} // namespace muxsocks::client
