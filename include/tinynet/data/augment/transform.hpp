#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <tinynet/core/function.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/data/augment/image.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Anything that can be called with an Image and a Generator. Loaders call it from several threads
/// at once: it must not change itself. What it draws depends on (seed, epoch, sample) alone.
///
/// A struct of options with a member `check()` is checked here, once: it throws StateError for what
/// is out of range. (Called directly, without a Transform around it, it is not.)
class Transform {
 public:
  Transform() = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Transform> &&
           std::invocable<std::remove_cvref_t<F>&, Image&, random::Generator&>) Transform(F&& f) {
    if constexpr (requires { f.check(); }) f.check();
    f_ = std::forward<F>(f);
  }

  /// An empty one changes nothing.
  void operator()(Image& image, random::Generator& generator) const {
    if (f_) f_(image, generator);
  }
  explicit operator bool() const { return static_cast<bool>(f_); }

 private:
  Function<void(Image&, random::Generator&)> f_;
};

}  // namespace tinynet::inline TINYNET_ABI::data
