#include "server/init.hpp"

#include "protocol/link/tls/self_signed.hpp"
#include "protocol/link/tls/tls_context.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/values.hpp"
#include "protocol/program/write_file.hpp"
#include "server/checked_option.hpp"
#include "server/config.hpp"
#include "server/new_token.hpp"
#include "server/shown_link.hpp"

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>

namespace muxsocks::server {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

struct init_options {
    std::vector<std::string> hosts;
    std::string dir = ".";
    std::string cert;
    std::string key;
    std::string user = "me";
    std::string name;
    std::string listen;
    std::vector<std::string> proxy_from;
    std::vector<std::string> allow;
    bool allow_private = false;
    std::string client_listen;
    std::string group;
    bool open_listener = false;
    bool no_pin = false;
    bool force = false;
    bool once = false;
    bool no_qr = false;
};

po::options_description describe_options(init_options& options) {
    po::options_description all("muxsocks-server init --host HOST[:PORT] [options]\n"
                                "Makes a key, a certificate, a token, server.json and client.json");
    auto add = all.add_options();
    add("host", po::value(&options.hosts),
        "the server's public name or address (port 8443); may be repeated for servers that share "
        "these files");
    add("dir", po::value(&options.dir), "where the files go (.)");
    add("cert", po::value(&options.cert), "a certificate chain to use instead of a new one");
    add("key", po::value(&options.key), "its key");
    add("no-pin", po::bool_switch(&options.no_pin),
        "clients trust the authority that signed --cert, instead of this very key");
    add("user", po::value(&options.user), "the first user's name (me)");
    add("name", po::value(&options.name), "a name for the share link (the host)");
    add("listen", po::value(&options.listen), "where the server listens (\":PORT\")");
    add("proxy-from", po::value(&options.proxy_from),
        "a network of load balancers that send PROXY protocol version 2; may be repeated");
    add("allow", po::value(&options.allow),
        "a network that is not public but may be connected to, such as the home network; may be "
        "repeated");
    add("allow-private", po::bool_switch(&options.allow_private),
        "all private addresses may be connected to, those of the server itself included");
    add("client-listen", po::value(&options.client_listen),
        "where the client listens (its default: loopback, port 1080)");
    add("open-listener", po::bool_switch(&options.open_listener),
        "let the client listen beyond loopback for anyone (inside a container)");
    add("group", po::value(&options.group),
        "a group that may read the server's files: that of the service's user");
    add("force", po::bool_switch(&options.force), "replace files that exist");
    add("once", po::bool_switch(&options.once),
        "change nothing if server.json exists, and show the share link on a terminal only (for "
        "what "
        "starts again and again, with a log)");
    add("no-qr", po::bool_switch(&options.no_qr), "no QR code");
    add("help,h", "this text");
    return all;
}

/// Nothing if it was help that was wanted.
std::optional<init_options> parse_init(int argc, const char* const* argv) {
    init_options options;
    const auto all = describe_options(options);
    po::variables_map found;
    try {
        po::store(po::command_line_parser(argc, argv).options(all).run(), found);
        po::notify(found);
    } catch (const po::error& error) {
        throw usage_error(std::string(error.what()) + "; see muxsocks-server init --help");
    }
    if (found.contains("help")) {
        std::cout << all;
        return {};
    }
    if (options.hosts.empty())
        throw usage_error("init needs --host: the name or address under which clients reach this "
                          "server");
    if (options.dir.empty()) throw usage_error("--dir needs the name of a folder");
    if (options.cert.empty() != options.key.empty())
        throw usage_error("--cert and --key go together");
    if (options.no_pin && options.cert.empty())
        throw usage_error("--no-pin needs --cert and --key: no authority vouches for a certificate "
                          "that init makes, so clients must pin its key");
    return options;
}

// ---- What is wrong is found before anything is written.

void check_client_listen(const init_options& options) {
    if (options.client_listen.empty()) return;
    const auto address =
        checked_option("--client-listen", options.client_listen, kinds::listening_address())
            .address;
    if (options.open_listener || is_loopback(address.host)) return;
    throw usage_error("--client-listen: \"" + options.client_listen +
                      "\" can be reached from other machines, where everyone could use the proxy: "
                      "listen on 127.0.0.1, or allow it with --open-listener");
}

/// Throws also if the certificate and its key do not belong together.
sha256_digest check_certificate(const init_options& options) {
    tls_settings made;
    made.role = tls_role::server;
    made.certificate_file = options.cert;
    made.key_file = options.key;
    return tls_context(made).certificate_pin().value();
}

/// Everything that init writes and shows.
struct plan {
    fs::path dir;
    std::vector<host_port> servers;
    std::optional<::gid_t> group;
    /// Nothing where there is a certificate already.
    std::optional<key_and_certificate> made;
    std::string server_json;
    std::string client_json;
    share_link link;
};

std::vector<std::string> names_of(const init_options& options) {
    // server.json is the last one: it says that everything is there (--once).
    if (!options.cert.empty()) return {"client.json", "server.json"};
    return {"server-key.pem", "server-cert.pem", "client.json", "server.json"};
}

void refuse_to_overwrite(const init_options& options) {
    if (options.force) return;
    auto names = names_of(options);
    std::reverse(names.begin(), names.end());
    for (const auto& name : names) {
        const auto path = fs::path(options.dir) / name;
        if (!fs::exists(path)) continue;
        throw std::runtime_error("\"" + path.string() +
                                 "\" exists already: use --force to replace it, or another --dir");
    }
}

std::string server_json(const init_options& options, const plan& made) {
    json settings;
    settings["listen"] =
        options.listen.empty() ? ":" + std::to_string(made.servers.front().port) : options.listen;
    settings["tls"] = {{"enabled", false}};
    settings["users"] = json::array(
        {{{"name", options.user}, {"token_sha256", token_digest_text(made.link.token)}}});
    if (!options.proxy_from.empty()) settings["proxy_protocol"] = {{"from", options.proxy_from}};
    if (!options.allow.empty()) settings["destinations"]["allow"] = options.allow;
    if (options.allow_private) settings["destinations"]["allow_private"] = true;
    // The files of "tls" need not be there yet, so everything else is read without them.
    (void)parse_config(settings.dump(), {"server.json", {}}, {});
    settings["tls"] = {{"cert", "server-cert.pem"}, {"key", "server-key.pem"}};
    if (!options.cert.empty())
        settings["tls"] = {{"cert", fs::absolute(options.cert).string()},
                           {"key", fs::absolute(options.key).string()}};
    return settings.dump(2) + "\n";
}

plan make_plan(const init_options& options, const std::vector<host_port>& servers) {
    plan made;
    made.dir = options.dir;
    made.servers = servers;
    (void)checked_option("--user", options.user, kinds::text(1, 255));
    if (!options.listen.empty())
        (void)checked_option("--listen", options.listen, kinds::listening_address());
    for (const auto& each : options.proxy_from)
        (void)checked_option("--proxy-from", each, kinds::ip_network());
    for (const auto& each : options.allow)
        (void)checked_option("--allow", each, kinds::ip_network());
    check_client_listen(options);
    if (!options.group.empty()) made.group = group_id(options.group);
    refuse_to_overwrite(options);
    made.link.user = options.user;
    made.link.token = make_token();
    made.link.server = servers.front();
    made.link.name = options.name.empty() ? servers.front().host : options.name;
    if (options.cert.empty()) {
        made.made = make_self_signed(servers.front().host);
        made.link.pins = {pin_text(made.made->pin)};
    } else {
        const auto pin = check_certificate(options);
        if (!options.no_pin) made.link.pins = {pin_text(pin)};
    }
    made.server_json = server_json(options, made);
    made.client_json = client_config_text(made.link, options.client_listen, options.open_listener,
                                          servers.size() > 1 ? servers : std::vector<host_port>());
    return made;
}

void write(const plan& made) {
    new_files files;
    files.make_folder(made.dir);
    if (made.made) {
        files.add(made.dir / "server-key.pem", made.made->key_pem, made.group);
        files.add(made.dir / "server-cert.pem", made.made->certificate_pem, made.group);
    }
    files.add(made.dir / "client.json", made.client_json);
    files.add(made.dir / "server.json", made.server_json, made.group);
    files.commit();
}

// ---- What it says

void show_link(const share_link& link, const init_options& options) {
    const auto text = to_string(link);
    std::printf("   %s\n\n", text.c_str());
    if (!options.no_qr && ::isatty(STDOUT_FILENO) != 0) print_qr(text);
}

void tell_where_the_link_is() {
    std::puts("The share link is not shown here, as this may be a log: run the same on a terminal "
              "(with Docker: docker compose run --rm init)");
}

/// What starts again and again writes to a log, which must not collect secrets.
bool may_show_link(const init_options& options) {
    return !options.once || ::isatty(STDOUT_FILENO) != 0;
}

void tell(const plan& made, const init_options& options) {
    std::printf("Written to %s: server.json, client.json%s\n\n", made.dir.c_str(),
                made.made ? ", server-cert.pem, server-key.pem" : "");
    std::printf("1. Here:           muxsocks-server -c %s\n",
                shell_word((made.dir / "server.json").string()).c_str());
    std::printf(
        "2. On the laptop:  copy client.json there and run  muxsocks-client -c client.json\n"
        "   or save the share link%s (it is a secret) to a file and run  muxsocks-client "
        "--link-file FILE\n"
        "3. Set the browser's SOCKS5 proxy to 127.0.0.1:1080, with remote DNS.\n\n",
        may_show_link(options) ? " below" : "");
    if (!made.made && !options.no_pin)
        std::printf(
            "Clients are pinned to this key: renew with the same key (certbot --reuse-key), "
            "or use --no-pin.\n\n");
    if (may_show_link(options))
        show_link(made.link, options);
    else
        tell_where_the_link_is();
}

// ---- --once

std::string list_of(const std::vector<host_port>& servers) {
    std::string text;
    for (const auto& each : servers)
        text += (text.empty() ? "" : ", ") + to_string(each);
    return text;
}

/// An init that was cut off, or a folder of somebody else.
void refuse_half_made(const init_options& options) {
    for (const auto& name : names_of(options)) {
        const auto path = fs::path(options.dir) / name;
        if (!fs::exists(path)) continue;
        throw std::runtime_error("\"" + path.string() +
                                 "\" is there and server.json is not: an init that was cut off, or "
                                 "the files of something else; take it away, or use --force");
    }
}

/// server.json is there: nothing is made, and the share link shown again, on a terminal only.
int show_what_is_there(const init_options& options, const std::vector<host_port>& servers) {
    const auto server_json = fs::path(options.dir) / "server.json";
    std::printf("%s exists: nothing to do\n", server_json.c_str());
    const auto known = client_beside(server_json);
    if (!known) {
        std::printf(
            "client.json is not beside it, so there is no share link to show; for a new one:  "
            "muxsocks-server user add NAME --host %s -c %s\n",
            shell_word(to_string(servers.front())).c_str(),
            shell_word(server_json.string()).c_str());
        return exit_ok;
    }
    if (known->servers != servers)
        throw std::runtime_error(
            server_json.string() + " and the client.json beside it were made for " +
            list_of(known->servers) + ", not for " + list_of(servers) +
            ": give the --host of then; or set the new address in client.json (key and tokens stay "
            "good); or make everything anew, and give all clients the new share link: with --force "
            "instead of --once, or, where Docker Compose gives the command, after \"docker compose "
            "down --volumes\" with the same files");
    if (!may_show_link(options)) {
        tell_where_the_link_is();
        return exit_ok;
    }
    auto link = known->link;
    link.name = options.name.empty() ? link.server.host : options.name;
    std::puts("The share link (it is a secret):\n");
    show_link(link, options);
    return exit_ok;
}

} // namespace

int initialise(int argc, const char* const* argv) {
    const auto options = parse_init(argc, argv);
    if (!options) return exit_ok;
    std::vector<host_port> servers;
    for (const auto& host : options->hosts)
        servers.push_back(parse_public_host(host));
    if (options->once) {
        if (fs::exists(fs::path(options->dir) / "server.json"))
            return show_what_is_there(*options, servers);
        if (!options->force) refuse_half_made(*options);
    }
    const auto made = make_plan(*options, servers);
    write(made);
    tell(made, *options);
    return exit_ok;
}

} // namespace muxsocks::server
