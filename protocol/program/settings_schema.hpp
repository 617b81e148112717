#pragma once

/// \file
/// How the settings that both programs share are read: their keys, bounds and words.
///
/// Each function binds one section of that name into `root`.

#include "protocol/program/config_reader.hpp"
#include "protocol/program/settings.hpp"

namespace muxsocks {

enum class program_role;

void bind_keepalive(config_section& root, keepalive_settings& keepalive,
                    tcp_keepalive_settings& tcp, program_role role);
void bind_memory(config_section& root, memory_settings& memory);
void bind_resume(config_section& root, resume_settings& resume, program_role role);
void bind_timeouts(config_section& root, timeout_settings& timeouts, program_role role);
void bind_link(config_section& root, link_settings& link, program_role role);
void bind_log(config_section& root, log_settings& log);

/// "localhost" becomes 127.0.0.1 and ::1, of which the host may lack one; what stands there twice
/// is dropped.
void expand_listen_addresses(std::vector<listen_address>& addresses);

/// A quarter of the memory that this process may use, if no total was configured.
void complete_memory(memory_settings& memory);

/// Whether the kernel lets this process use the congestion control of that name.
[[nodiscard]] bool congestion_control_available(const std::string& name);

} // namespace muxsocks
