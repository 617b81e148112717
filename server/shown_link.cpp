#include "server/shown_link.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/values.hpp"

#include <qrencode.h>

#include <cstdio>
#include <memory>

namespace muxsocks::server {

host_port parse_public_host(const std::string& text) {
    const auto found = parse_host_port(text, default_port);
    if (!found || found->host.empty() || found->port == 0)
        throw usage_error("--host: expected a name or an address, with a port from 1 to 65535 or "
                          "without one, such as \"example.org:443\", found \"" +
                          text + "\"");
    return *found;
}

std::optional<client_of_link> client_beside(const std::filesystem::path& server_json) {
    const auto path = std::filesystem::path(server_json).replace_filename("client.json");
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return {};
    try {
        return read_client_config(read_config_file(path));
    } catch (const config_error&) {
        return {};
    }
}

void print_qr(const std::string& text) {
    const std::unique_ptr<QRcode, void (*)(QRcode*)> code(
        QRcode_encodeString8bit(text.c_str(), 0, QR_ECLEVEL_L), &QRcode_free);
    if (!code) return;
    const int width = code->width;
    const auto dark = [&](int x, int y) {
        return x >= 0 && y >= 0 && x < width && y < width && (code->data[y * width + x] & 1) != 0;
    };
    constexpr int margin = 2;
    for (int y = -margin; y < width + margin; y += 2) {
        std::fputs("\x1b[30;47m", stdout);
        for (int x = -margin; x < width + margin; ++x) {
            const bool upper = dark(x, y);
            const bool lower = dark(x, y + 1);
            std::fputs(upper && lower ? "█" : upper ? "▀" : lower ? "▄" : " ", stdout);
        }
        std::fputs("\x1b[0m\n", stdout);
    }
}

} // namespace muxsocks::server
