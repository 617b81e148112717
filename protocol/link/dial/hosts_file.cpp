#include "protocol/link/dial/hosts_file.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <algorithm>
#include <fstream>

namespace muxsocks {

namespace {

constexpr std::string_view blanks = " \t\r\f\v";

/// The next word of `line`, which it is taken off; empty at the end.
std::string_view next_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const std::string_view word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
}

} // namespace

const std::vector<asio::ip::address>& hosts_file::find(std::string_view name) {
    static const std::vector<asio::ip::address> none;
    if (watch_.has_changed(std::chrono::steady_clock::now())) read();
    const auto entry = table_.find(canonical_host_name(name));
    return entry == table_.end() ? none : entry->second;
}

void hosts_file::read() {
    table_.clear();
    std::ifstream file(watch_.path());
    for (std::string line; std::getline(file, line);)
        read_line(line);
}

void hosts_file::read_line(std::string_view line) {
    line = line.substr(0, line.find('#'));
    const auto address = parse_numeric_host(next_word(line));
    if (!address) return;
    for (auto name = next_word(line); !name.empty(); name = next_word(line)) {
        table_[canonical_host_name(name)].push_back(*address);
    }
}

} // namespace muxsocks
