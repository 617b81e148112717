#pragma once

/// \file
/// Memory that is freed while a secret is read is overwritten first, whoever frees it: a token
/// passes through a file's text, a JSON parser and some strings before its digest is all that
/// stays. This binds what C++ allocates (operator delete) on the calling thread, while such an
/// object lives. What stays allocated is its owner's to wipe.

namespace muxsocks {

class wiped_frees {
  public:
    wiped_frees() noexcept;
    ~wiped_frees();
    wiped_frees(const wiped_frees&) = delete;
    wiped_frees& operator=(const wiped_frees&) = delete;
};

} // namespace muxsocks
