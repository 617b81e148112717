#pragma once

/// \file
/// From a file to a JSON value: reading it, comments, and syntax errors with line and column. What
/// the value means is config_reader's business.

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <string>

namespace muxsocks {

/// Where a configuration came from.
struct config_origin {
    /// As errors call it: the path, "standard input" or "command line".
    std::string name;
    /// Relative paths in the configuration start here. Empty: the working folder.
    std::filesystem::path folder;

    /// Of a file ("-" is standard input).
    [[nodiscard]] static config_origin of_file(const std::filesystem::path& path);
};

/// The whole text of the file ("-" reads standard input to its end), which errors call `what`.
/// Throws config_error.
[[nodiscard]] std::string read_config_file(const std::filesystem::path& path,
                                           const char* what = "configuration");

/// JSON (RFC 8259) with // and /* */ comments. The top must be an object, and no object may have a
/// key twice. Throws config_error.
[[nodiscard]] nlohmann::json parse_config_text(const std::string& text,
                                               const config_origin& origin);

/// `path` completed with the folder of the origin if it is relative.
[[nodiscard]] std::string complete_path(const std::string& path, const config_origin& origin);

} // namespace muxsocks
