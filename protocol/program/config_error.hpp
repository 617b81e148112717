#pragma once

/// \file
/// What is thrown when a configuration is wrong.

#include <stdexcept>

namespace muxsocks {

/// One full sentence that names the file, the key, what was found and what was expected. It ends a
/// program at its start with exit code 23; at a reload the old configuration stays.
class config_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

} // namespace muxsocks
