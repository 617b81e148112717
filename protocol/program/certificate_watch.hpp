#pragma once

/// \file
/// Looks after the files of a TLS context while the program runs: notices that they were renewed,
/// and warns before the certificate expires. Reading them anew is the program's business.

#include "protocol/link/loop/deadlines.hpp"
#include "protocol/link/loop/file_watch.hpp"
#include "protocol/link/tls/tls_context.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks {

/// What the files were when they were looked at.
using file_states = std::vector<file_watch>;

/// Looks at the files now; empty names are left out. To miss no change, look before reading them.
[[nodiscard]] file_states look_at(const std::vector<std::string>& files);

/// A sentence for the log if the certificate in `file` ends within 14 days of `now`, or has ended;
/// nothing otherwise.
[[nodiscard]] std::optional<std::string>
expiry_warning(const std::string& file, std::chrono::system_clock::time_point not_after,
               std::chrono::system_clock::time_point now);

/// What the log says of files that were read anew: until when the certificate is valid, and its pin
/// if the key is another one, which clients that pin the old one have to know.
[[nodiscard]] std::string describe_renewal(const tls_context& old, const tls_context& next);

class certificate_watch {
  public:
    /// `on_change` is called in the clock's thread when a file was changed, and then none of them
    /// for a second, since certificate and key are not written at the same moment.
    certificate_watch(deadlines& clock, std::function<void()> on_change);

    /// Watches from `seen` on; warns now, and then once a day, if the certificate of `context` that
    /// stands in `certificate_file` ends soon. Replaces what was watched before. `context` may be
    /// null.
    void watch(file_states seen, const std::string& certificate_file, const tls_context* context);

  private:
    void look();
    void warn();

    std::function<void()> on_change_;
    deadline next_look_;
    deadline next_warning_;
    file_states files_;
    /// Whether a change was seen that on_change was not called for.
    bool changed_ = false;
    std::string certificate_file_;
    std::optional<std::chrono::system_clock::time_point> not_after_;
};

} // namespace muxsocks
