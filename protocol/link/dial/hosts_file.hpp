#pragma once

/// \file
/// The host table, /etc/hosts (hosts(5)), kept in memory: c-ares 1.18 reads and parses the file
/// again for every name, which with a long block list takes longer than the DNS does. A changed
/// file is noticed within a second.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/file_watch.hpp"

#include <boost/asio/ip/address.hpp>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace muxsocks {

class hosts_file {
  public:
    explicit hosts_file(std::string path) : watch_(std::move(path)) {}

    /// The addresses of `name` in the file's order, IPv4-mapped ones as IPv4; empty if the file
    /// does not have the name, or is not there. Valid until the next call.
    [[nodiscard]] const std::vector<asio::ip::address>& find(std::string_view name);

  private:
    void read();
    void read_line(std::string_view line);

    file_watch watch_;
    std::unordered_map<std::string, std::vector<asio::ip::address>> table_;
};

} // namespace muxsocks
