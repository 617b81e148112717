#include "protocol/program/status_answer.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/status_json.hpp"
#include "protocol/program/status_page.hpp"
#include "protocol/program/values.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace muxsocks {
namespace {

constexpr std::size_t streams_shown = 20;
constexpr std::size_t streams_max = 10'000;

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

bool same_word(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// An address, "localhost" or a configured name: else a name of somebody else's leads here.
bool host_is_ours(std::string_view host, const std::vector<std::string>& names) {
    const auto parsed = parse_host_port(host, std::uint16_t{80});
    if (!parsed) return false;
    if (is_ip_address(parsed->host) || same_word(parsed->host, "localhost")) return true;
    return std::any_of(names.begin(), names.end(),
                       [&](const auto& each) { return same_word(each, parsed->host); });
}

/// The token that was shown: by Bearer (RFC 6750), or as the password of Basic (RFC 7617), which
/// browsers ask for.
std::string shown_token(std::string_view authorization) {
    const auto blank = authorization.find(' ');
    if (blank == std::string_view::npos) return {};
    const auto kind = authorization.substr(0, blank);
    const auto value = authorization.substr(blank + 1);
    if (same_word(kind, "Bearer")) return std::string(value);
    if (!same_word(kind, "Basic")) return {};
    const auto decoded = from_base64(value);
    if (!decoded) return {};
    const std::string pair(decoded->begin(), decoded->end());
    const auto colon = pair.find(':');
    return colon == std::string::npos ? std::string() : pair.substr(colon + 1);
}

/// Of digests, so the time tells nothing of the token.
bool token_is_good(std::string_view authorization, const sha256_digest& known) {
    return token_digest(shown_token(authorization)) == known;
}

std::size_t limit_of(std::string_view target) {
    const auto query = target.find("?limit=");
    std::size_t limit = streams_shown;
    if (query != std::string_view::npos)
        (void)std::from_chars(target.data() + query + 7, target.data() + target.size(), limit);
    return std::min(limit, streams_max);
}

/// NAME of "/v1/users/NAME/kick", %XX decoded.
std::optional<std::string> user_to_kick(std::string_view path) {
    constexpr std::string_view begin = "/v1/users/";
    constexpr std::string_view end = "/kick";
    if (!path.starts_with(begin) || !path.ends_with(end) ||
        path.size() <= begin.size() + end.size())
        return std::nullopt;
    const auto name = path.substr(begin.size(), path.size() - begin.size() - end.size());
    std::string decoded;
    for (std::size_t i = 0; i < name.size(); ++i) {
        unsigned value = 0;
        if (name[i] == '%' && i + 2 < name.size() &&
            std::from_chars(name.data() + i + 1, name.data() + i + 3, value, 16).ec ==
                std::errc()) {
            decoded += static_cast<char>(value);
            i += 2;
        } else {
            decoded += name[i];
        }
    }
    return decoded;
}

status_answer text_answer(unsigned status, std::string type, std::string body) {
    return {status, std::move(type), std::move(body), {}};
}

void kick(const status_question& asked, const std::string& user, status_source& source,
          const std::function<void(status_answer)>& then) {
    if (!asked.own_user)
        return then(error_answer(403, "only a process of this program's user may do that"));
    source.kick(user, [then](std::size_t ended) {
        then({200,
              "application/json",
              "{\"version\":1,\"sessions_ended\":" + std::to_string(ended) + "}\n",
              {}});
    });
}

using writer = std::string (*)(const process_facts&, const snapshot&);

/// Null if there is no such document.
writer writer_of(std::string_view path) {
    if (path == "/metrics") return metrics_text;
    if (path == "/v1/status") return status_json::status;
    if (path == "/v1/links") return status_json::links;
    if (path == "/v1/sessions") return status_json::sessions;
    if (path == "/v1/streams") return status_json::streams;
    if (path == "/v1/users") return status_json::users;
    if (path == "/v1/usage") return status_json::usage;
    return nullptr;
}

} // namespace

status_answer error_answer(unsigned status, const std::string& sentence) {
    return text_answer(status, "application/json", status_json::error(sentence));
}

std::optional<status_answer> refuse(const status_question& asked, const status_settings& settings) {
    const bool reads = asked.method == "GET" || asked.method == "HEAD";
    if (!reads && !(asked.local && asked.method == "POST")) {
        auto made = error_answer(405, "only GET and HEAD are answered here");
        made.fields.emplace_back("Allow", "GET, HEAD");
        return made;
    }
    if (asked.local) return std::nullopt;
    if (!host_is_ours(asked.host, settings.names))
        return error_answer(403, "this listener is not asked for by that name (status.names)");
    if (settings.token && !token_is_good(asked.authorization, *settings.token)) {
        auto made = error_answer(401, "the token is missing or wrong (status.token_file)");
        made.fields.emplace_back("WWW-Authenticate", "Basic realm=\"muxsocks\"");
        return made;
    }
    return std::nullopt;
}

void answer(const status_question& asked, status_source& source,
            std::function<void(status_answer)> then) {
    const auto path = path_of(asked.target);
    if (asked.method == "POST") {
        if (const auto user = user_to_kick(path)) return kick(asked, *user, source, then);
        return then(error_answer(404, "nothing can be changed by that name"));
    }
    if (path == "/healthz") return then(text_answer(200, "text/plain", "ok\n"));
    if (const auto found = find_page(path))
        return then(text_answer(200, found->type, std::string(found->text)));
    if (path == "/v1/program")
        return then(text_answer(200, "application/json", status_json::program(source.facts())));
    const auto writes = writer_of(path);
    if (!writes && path != "/readyz")
        return then(error_answer(404, "there is nothing by that name"));
    snapshot_request request;
    request.usage = path == "/v1/usage";
    if (path == "/v1/streams") request.streams = limit_of(asked.target);
    // Metrics and readiness are asked for often, and need sums only.
    request.sessions = path.starts_with("/v1/") ? snapshot_request::all : 0;
    source.show(
        request, [&source, path = std::string(path), writes, then = std::move(then)](snapshot now) {
            if (path == "/readyz")
                return then(now.ready ? text_answer(200, "text/plain", "ready\n")
                                      : text_answer(503, "text/plain", "not ready\n"));
            if (path == "/v1/usage" && !now.accounting)
                return then(error_answer(404, "there is no accounting here (accounting.file)"));
            const std::string type = path == "/metrics" ? "text/plain; version=0.0.4; charset=utf-8"
                                                        : "application/json";
            source.write(
                [writes, facts = source.facts(), all = std::make_shared<snapshot>(std::move(now))] {
                    return writes(facts, *all);
                },
                [then, type](std::string text) { then(text_answer(200, type, std::move(text))); });
        });
}

void live_answer(status_source& source, std::function<void(const std::string&)> then) {
    source.show({sessions_live, streams_shown}, [&source, then = std::move(then)](snapshot now) {
        source.write([facts = source.facts(), all = std::make_shared<snapshot>(std::move(
                                                  now))] { return status_json::live(facts, *all); },
                     then);
    });
}

} // namespace muxsocks
