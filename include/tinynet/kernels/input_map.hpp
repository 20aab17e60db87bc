#pragma once

#include <cstdint>

#include <tinynet/core/config.hpp>

/// Maps that a convolution applies to its input while it reads it, so that nobody has to keep a normalised
/// and activated copy.
namespace tinynet::inline TINYNET_ABI::kernels {

/// A map of pixels, all channels of each, whose types its functions alone know. Padding is not mapped.
struct InputMap {
  using Apply = void(const void* state, void* to, const void* from, std::int64_t pixels);
  Apply* apply = nullptr;            // T to T: the bits that a stored copy would have
  Apply* apply_unrounded = nullptr;  // T to accumulate_t, not rounded to T
  const void* state = nullptr;

  explicit operator bool() const { return apply != nullptr; }
  void operator()(void* to, const void* from, std::int64_t pixels) const {
    apply(state, to, from, pixels);
  }
  void unrounded(void* to, const void* from, std::int64_t pixels) const {
    apply_unrounded(state, to, from, pixels);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
