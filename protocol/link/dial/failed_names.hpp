#pragma once

/// \file
/// Names that could not be looked up a moment ago, so that who asks for one over and over does not
/// send queries each time. A pure object: time comes in as an argument.

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

namespace muxsocks {

class failed_names {
  public:
    using clock = std::chrono::steady_clock;

    /// A name that a DNS server knows not to exist, or to have no address.
    static constexpr std::chrono::seconds kept_when_answered{5};
    /// One that no server could answer for, which may pass sooner.
    static constexpr std::chrono::seconds kept_when_not{2};
    /// The oldest goes when there are more: half a megabyte at most.
    static constexpr std::size_t names_max = 1024;

    /// `name` in its canonical form; `error` one of resolve_errc, of which some are kept.
    void add(std::string_view name, std::error_code error, clock::time_point now);
    /// Why the name failed; no error if it is not known to have done so lately.
    [[nodiscard]] std::error_code find(std::string_view name, clock::time_point now) const;
    void clear();
    [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }

  private:
    struct failure {
        std::error_code error;
        clock::time_point until;
    };
    struct name_hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using table = std::unordered_map<std::string, failure, name_hash, std::equal_to<>>;

    table names_;
    /// The keys of names_, as they were added.
    std::deque<const std::string*> order_;
};

} // namespace muxsocks
