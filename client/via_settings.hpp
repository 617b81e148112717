#pragma once

/// \file
/// `via` and its password in the configuration, and what follows from them for each server.

#include "client/config.hpp"

#include <string_view>
#include <vector>

namespace muxsocks {
class config_section;
}

namespace muxsocks::client {

void bind_via(config_section& section, via_choice& via, std::string_view help,
              const char* default_text);

/// Fills in server_entry::via. Throws config_error about a variable of the environment.
void choose_via(std::vector<server_entry>& servers, const via_choice& general);

} // namespace muxsocks::client
