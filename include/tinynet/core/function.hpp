#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <tinynet/core/error.hpp>

namespace tinynet::inline TINYNET_ABI {

namespace detail {
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_nothing_to_call() {
  throw StateError(Message("Function", "there is nothing to call"));
}
}  // namespace detail

/// Anything that can be called with that signature, or nothing: a std::function without its header,
/// which takes the compiler as long as a fifth of all others together.
template <class Signature>
class Function;

template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  Function(std::nullptr_t) {}
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Function> &&
           std::is_invocable_r_v<R, std::remove_cvref_t<F>&, Args...>) Function(F&& f) {
    using Held = std::decay_t<F>;
    if constexpr (std::is_assignable_v<Held&, std::nullptr_t>) {
      if (!f) return;  // a pointer or a std::function that is empty
    }
    held_ = new Held(std::forward<F>(f));
    call_ = &call<Held>;
    manage_ = &manage<Held>;
  }
  Function(const Function& other)
      : held_(other.held_ ? other.manage_(other.held_, true) : nullptr),
        call_(other.call_),
        manage_(other.manage_) {}
  Function(Function&& other) noexcept { swap(other); }
  Function& operator=(Function other) noexcept {
    swap(other);
    return *this;
  }
  [[gnu::noinline]] ~Function() {
    if (held_) manage_(held_, false);
  }

  /// Throws StateError where there is nothing to call.
  R operator()(Args... args) const { return call_(held_, std::forward<Args>(args)...); }
  explicit operator bool() const { return held_ != nullptr; }

 private:
  template <class F>
  static R call(void* held, Args... args) {
    return static_cast<R>((*static_cast<F*>(held))(std::forward<Args>(args)...));
  }
  static R nothing(void*, Args...) { detail::throw_nothing_to_call(); }
  /// Copies what is held, or deletes it.
  template <class F>
  static void* manage(void* held, bool copy) {
    if (copy) return new F(*static_cast<F*>(held));
    delete static_cast<F*>(held);
    return nullptr;
  }

  void swap(Function& other) noexcept {
    std::swap(held_, other.held_);
    std::swap(call_, other.call_);
    std::swap(manage_, other.manage_);
  }

  void* held_ = nullptr;
  R (*call_)(void*, Args...) = &nothing;
  void* (*manage_)(void*, bool) = nullptr;
};

}  // namespace tinynet::inline TINYNET_ABI
