#pragma once

/// \file
/// Values on the command line of init and user that go into a configuration.

#include "protocol/program/command_line.hpp"
#include "protocol/program/value_kinds.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace muxsocks::server {

/// The text as the configuration reads it. Throws usage_error, which begins with the option, if the
/// configuration would refuse it.
template <class T>
T checked_option(const char* option, const std::string& text, const value_kind<T>& kind) {
    std::string hint;
    const nlohmann::json value = text;
    try {
        (void)value.dump();
    } catch (const nlohmann::json::exception&) {
        throw usage_error(std::string(option) + ": this is not UTF-8");
    }
    if (auto read = kind.read(value, hint)) return *std::move(read);
    throw usage_error(std::string(option) + ": expected " + kind.expected + ", found \"" + text +
                      "\"" + (hint.empty() ? "" : " (" + hint + ")"));
}

} // namespace muxsocks::server
