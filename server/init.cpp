#include "server/init.hpp"

#include "protocol/link/self_signed.hpp"
#include "protocol/link/tls_context.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/write_file.hpp"
#include "server/config.hpp"
#include "server/new_token.hpp"

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include <qrencode.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iostream>

namespace muxsocks::server {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr std::uint16_t default_port = 8443;

/// "example.org", "example.org:443", "192.0.2.1:443", "[2001:db8::1]:443", "2001:db8::1".
host_port parse_public_host(const std::string& text) {
    host_port found{text, default_port};
    const auto colon = text.rfind(':');
    const bool bracketed = !text.empty() && text.front() == '[';
    const bool bare_v6 = !bracketed && std::count(text.begin(), text.end(), ':') > 1;
    if (colon != std::string::npos && !bare_v6 && (!bracketed || text[colon - 1] == ']')) {
        const auto end = text.data() + text.size();
        if (std::from_chars(text.data() + colon + 1, end, found.port).ptr != end || found.port == 0)
            throw usage_error("--host: the port of \"" + text +
                              "\" is not a number from 1 to 65535");
        found.host = text.substr(0, colon);
    }
    if (found.host.size() > 2 && found.host.front() == '[' && found.host.back() == ']')
        found.host = found.host.substr(1, found.host.size() - 2);
    if (found.host.empty()) throw usage_error("--host needs a name or an address");
    return found;
}

/// A QR code in half blocks, two rows a line, dark on light as scanners want it.
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

struct init_options {
    std::vector<std::string> hosts;
    std::string dir = ".";
    std::string cert;
    std::string key;
    std::string user = "me";
    std::string name;
    std::string listen;
    std::vector<std::string> proxy_from;
    std::string client_listen;
    std::string group;
    bool open_listener = false;
    bool force = false;
    bool once = false;
    bool no_qr = false;
};

init_options parse_init(int argc, const char* const* argv) {
    init_options options;
    po::options_description all("muxsocks-server init --host HOST[:PORT] [options]\n"
                                "Makes a key, a certificate, a token, server.json and client.json");
    auto add = all.add_options();
    add("host", po::value(&options.hosts),
        "the server's public name or address (port 8443); may be repeated for servers that share "
        "these files");
    add("dir", po::value(&options.dir), "where the files go (.)");
    add("cert", po::value(&options.cert), "a certificate chain to use instead of a new one");
    add("key", po::value(&options.key), "its key");
    add("user", po::value(&options.user), "the first user's name (me)");
    add("name", po::value(&options.name), "a name for the share link (the host)");
    add("listen", po::value(&options.listen), "where the server listens (\":PORT\")");
    add("proxy-from", po::value(&options.proxy_from),
        "a network of load balancers that send PROXY protocol version 2; may be repeated");
    add("client-listen", po::value(&options.client_listen),
        "where the client listens (its default: loopback, port 1080)");
    add("open-listener", po::bool_switch(&options.open_listener),
        "let the client listen beyond loopback for anyone (inside a container)");
    add("group", po::value(&options.group),
        "a group that may read the server's files: that of the service's user");
    add("force", po::bool_switch(&options.force), "replace files that exist");
    add("once", po::bool_switch(&options.once),
        "do nothing if server.json exists (for what starts again and again)");
    add("no-qr", po::bool_switch(&options.no_qr), "no QR code");
    add("help,h", "this text");
    po::variables_map found;
    try {
        po::store(po::command_line_parser(argc, argv).options(all).run(), found);
        po::notify(found);
    } catch (const po::error& error) {
        throw usage_error(std::string(error.what()) + "; see muxsocks-server init --help");
    }
    if (found.contains("help")) {
        std::cout << all;
        options.hosts.clear();
        return options;
    }
    if (options.hosts.empty())
        throw usage_error("init needs --host: the name or address under which clients reach this "
                          "server");
    if (options.cert.empty() != options.key.empty())
        throw usage_error("--cert and --key go together");
    if (options.user.empty() || options.user.size() > 255)
        throw usage_error("--user: a name has 1 to 255 bytes");
    return options;
}

} // namespace

int initialise(int argc, const char* const* argv) {
    const auto options = parse_init(argc, argv);
    if (options.hosts.empty()) return exit_ok;
    std::vector<host_port> servers;
    for (const auto& host : options.hosts)
        servers.push_back(parse_public_host(host));
    const auto& server = servers.front();
    const fs::path dir(options.dir);
    if (options.once && fs::exists(dir / "server.json")) {
        std::printf("%s exists: nothing to do\n", (dir / "server.json").c_str());
        return exit_ok;
    }
    std::error_code ignored;
    fs::create_directories(dir, ignored);
    // All or nothing: what is in the way is found before anything is written.
    auto files = std::vector<std::string>{"server.json", "client.json"};
    if (options.cert.empty()) files.insert(files.end(), {"server-cert.pem", "server-key.pem"});
    for (const auto& file : files)
        if (!options.force && fs::exists(dir / file))
            throw std::runtime_error("\"" + (dir / file).string() +
                                     "\" exists already: use --force to replace it, or another "
                                     "--dir");
    std::optional<::gid_t> group;
    if (!options.group.empty()) group = group_id(options.group);
    const auto write_for_server = [&](const char* name, const std::string& text) {
        write_secret_file(dir / name, text, options.force);
        if (group) share_with_group(dir / name, *group);
    };
    auto cert = options.cert;
    auto key = options.key;
    if (cert.empty()) {
        const auto made = make_self_signed(server.host);
        write_for_server("server-key.pem", made.key_pem);
        write_for_server("server-cert.pem", made.certificate_pem);
        cert = "server-cert.pem";
        key = "server-key.pem";
    } else {
        cert = fs::absolute(cert).string();
        key = fs::absolute(key).string();
    }
    const auto token = make_token();
    json settings;
    settings["listen"] =
        options.listen.empty() ? ":" + std::to_string(server.port) : options.listen;
    settings["tls"] = {{"cert", cert}, {"key", key}};
    settings["users"] =
        json::array({{{"name", options.user}, {"token_sha256", token_digest_text(token)}}});
    if (!options.proxy_from.empty()) settings["proxy_protocol"] = {{"from", options.proxy_from}};
    share_link link;
    link.user = options.user;
    link.token = token;
    link.server = server;
    link.name = options.name.empty() ? server.host : options.name;
    link.pins = {pin_text(spki_pin_of((dir / cert).string()))};
    write_secret_file(dir / "client.json",
                      client_config_text(link, options.client_listen, options.open_listener,
                                         servers.size() > 1 ? servers : std::vector<host_port>()),
                      options.force);
    // Last: it says that everything is there (--once). And what is written must load.
    const auto text = settings.dump(2) + "\n";
    (void)parse_config(text, config_origin::of_file(dir / "server.json"), {});
    write_for_server("server.json", text);
    const auto shown = to_string(link);
    std::printf("Written to %s: server.json, client.json%s\n\n", dir.c_str(),
                options.cert.empty() ? ", server-cert.pem, server-key.pem" : "");
    std::printf("1. Here:           muxsocks-server -c %s\n", (dir / "server.json").c_str());
    std::printf(
        "2. On the laptop:  copy client.json there and run  muxsocks-client -c client.json\n"
        "   or save this link (it is a secret) to a file and run  muxsocks-client "
        "--link-file FILE\n\n   %s\n\n",
        shown.c_str());
    std::printf("3. Set the browser's SOCKS5 proxy to 127.0.0.1:1080, with remote DNS.\n");
    if (!options.no_qr && ::isatty(STDOUT_FILENO) != 0) print_qr(shown);
    return exit_ok;
}

} // namespace muxsocks::server
