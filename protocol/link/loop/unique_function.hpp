#pragma once

/// \file
/// A callable that is moved and never copied: for completion handlers that own what they need, a
/// socket or the last reference to an operation. It is what std::move_only_function is from C++23
/// on. Callables of up to `inline_bytes` live inside it, so that a handler that captures a pointer
/// and a number costs no allocation.

#include <cassert>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace muxsocks {

template <typename Signature>
class unique_function;

template <typename Result, typename... Args>
class unique_function<Result(Args...)> {
  public:
    static constexpr std::size_t inline_bytes = 4 * sizeof(void*);

    unique_function() noexcept = default;
    unique_function(std::nullptr_t) noexcept {}

    template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, unique_function> &&
             std::is_invocable_r_v<Result, std::remove_cvref_t<F>&, Args...>)
        unique_function(F&& callable) {
        using stored = std::remove_cvref_t<F>;
        if constexpr (fits_inline<stored>) {
            ::new (static_cast<void*>(storage_)) stored(std::forward<F>(callable));
            operations_ = &inline_operations<stored>;
        } else {
            ::new (static_cast<void*>(storage_)) stored*(new stored(std::forward<F>(callable)));
            operations_ = &heap_operations<stored>;
        }
    }

    unique_function(unique_function&& other) noexcept { take(other); }
    unique_function& operator=(unique_function&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    unique_function(const unique_function&) = delete;
    unique_function& operator=(const unique_function&) = delete;
    ~unique_function() { reset(); }

    /// Destroys the callable, if there is one.
    void reset() noexcept {
        if (const operations* old = std::exchange(operations_, nullptr)) old->destroy(storage_);
    }

    explicit operator bool() const noexcept { return operations_ != nullptr; }

    /// There must be a callable.
    Result operator()(Args... args) {
        assert(operations_ != nullptr);
        return operations_->call(storage_, std::forward<Args>(args)...);
    }

  private:
    struct operations {
        Result (*call)(void*, Args&&...);
        /// Moves the callable from the second place to the first and ends the second.
        void (*relocate)(void*, void*) noexcept;
        void (*destroy)(void*) noexcept;
    };

    template <typename F>
    static constexpr bool
        fits_inline = sizeof(F) <= inline_bytes &&
                      alignof(F) <= alignof(void*) && std::is_nothrow_move_constructible_v<F>;

    template <typename F>
    static F& inline_at(void* storage) noexcept {
        return *std::launder(static_cast<F*>(storage));
    }
    template <typename F>
    static F*& heap_at(void* storage) noexcept {
        return *std::launder(static_cast<F**>(storage));
    }

    template <typename F>
    static constexpr operations inline_operations{
        [](void* storage, Args&&... args) -> Result {
            return inline_at<F>(storage)(std::forward<Args>(args)...);
        },
        [](void* to, void* from) noexcept {
            ::new (to) F(std::move(inline_at<F>(from)));
            inline_at<F>(from).~F();
        },
        [](void* storage) noexcept { inline_at<F>(storage).~F(); }};

    template <typename F>
    static constexpr operations heap_operations{
        [](void* storage, Args&&... args) -> Result {
            return (*heap_at<F>(storage))(std::forward<Args>(args)...);
        },
        [](void* to, void* from) noexcept { ::new (to) F*(heap_at<F>(from)); },
        [](void* storage) noexcept { delete heap_at<F>(storage); }};

    void take(unique_function& other) noexcept {
        operations_ = std::exchange(other.operations_, nullptr);
        if (operations_ != nullptr) operations_->relocate(storage_, other.storage_);
    }

    alignas(void*) std::byte storage_[inline_bytes];
    const operations* operations_ = nullptr;
};

} // namespace muxsocks
