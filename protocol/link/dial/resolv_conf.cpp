#include "protocol/link/dial/resolv_conf.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace muxsocks {

namespace {

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream words(text);
    std::vector<std::string> all;
    for (std::string word; words >> word;)
        all.push_back(std::move(word));
    return all;
}

} // namespace

std::vector<std::string> resolv_conf::candidates(std::string_view name) const {
    std::vector<std::string> names;
    const std::string plain = canonical_host_name(name);
    if (name.find('.') == std::string_view::npos) {
        for (const std::string& domain : search) {
            std::string longer = plain + '.' + canonical_host_name(domain);
            if (is_host_name(longer)) names.push_back(std::move(longer));
        }
    }
    names.push_back(plain);
    return names;
}

resolv_conf parse_resolv_conf(const std::string& text) {
    resolv_conf result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::string> words = words_of(line);
        if (words.size() < 2) continue;
        if (words[0] == "nameserver") {
            if (const auto address = parse_address(words[1])) result.servers.push_back(*address);
        } else if (words[0] == "search") {
            result.search.assign(words.begin() + 1, words.end());
        } else if (words[0] == "domain") {
            result.search.assign(1, words[1]);
        }
    }
    if (result.servers.empty()) result.servers.emplace_back(asio::ip::address_v4::loopback());
    return result;
}

resolv_conf read_resolv_conf(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    resolv_conf result = parse_resolv_conf(text.str());
    if (const char* domains = std::getenv("LOCALDOMAIN")) result.search = words_of(domains);
    return result;
}

} // namespace muxsocks
