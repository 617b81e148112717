#pragma once

/// \file
/// What the status listener answers to which question: no socket, and no HTTP but its words.

#include "protocol/program/status_server.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muxsocks {

inline constexpr std::string_view status_live_target = "/v1/live";
inline constexpr std::string_view status_history_target = "/v1/history";

struct status_question {
    std::string method;
    std::string target;
    std::string host;          ///< `Host`, as it came.
    std::string authorization; ///< The same.
    bool local = false;        ///< By a unix socket.
    bool own_user = false;     ///< By one, from a process of root's or this process's user.
};

struct status_answer {
    unsigned status = 200;
    std::string type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> fields; ///< Further ones.
};

[[nodiscard]] status_answer error_answer(unsigned status, const std::string& sentence);

/// The refusal of a question that may not be asked at all.
[[nodiscard]] std::optional<status_answer> refuse(const status_question& asked,
                                                  const status_settings& settings);

/// Calls `then` once, soon or at once.
void answer(const status_question& asked, status_source& source,
            std::function<void(status_answer)> then);

/// Who watches sees no more sessions than these; /v1/sessions has all.
inline constexpr std::size_t sessions_live = 100;

/// The document of one event of `/v1/live`.
void live_answer(status_source& source, std::function<void(const std::string&)> then);

} // namespace muxsocks
