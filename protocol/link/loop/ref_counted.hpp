#pragma once

/// \file
/// A base for objects that boost::intrusive_ptr counts, within one thread.

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstddef>

namespace muxsocks {

template <typename Derived>
class ref_counted {
  public:
    ref_counted(const ref_counted&) = delete;
    ref_counted& operator=(const ref_counted&) = delete;

    friend void intrusive_ptr_add_ref(const ref_counted* object) noexcept { ++object->references_; }
    friend void intrusive_ptr_release(const ref_counted* object) noexcept {
        if (--object->references_ == 0) object->destroy();
    }

  protected:
    ref_counted() = default;
    ~ref_counted() = default;

  private:
    // Out of line: inlined next to a second reference it makes GCC warn of a use after free.
    [[gnu::noinline]] void destroy() const noexcept { delete static_cast<const Derived*>(this); }

    mutable std::size_t references_ = 0;
};

} // namespace muxsocks
