#pragma once

#include <tinynet/kernels/loops.hpp>

/// Maps that a convolution applies to its input while it reads it, so that a normalised and activated
/// copy is never written. A map has a value for each channel and is rounded to T like the copy would
/// be: the results are the same bits.
namespace tinynet::inline TINYNET_ABI::kernels {

/// A map of pixels, of whatever type: what `apply` gets as T* it knows itself. Padding is not mapped.
struct InputMap {
  /// Writes the map of `pixels` pixels, all channels of each.
  void (*apply)(const void* state, void* to, const void* from, std::int64_t pixels) = nullptr;
  const void* state = nullptr;

  explicit operator bool() const { return apply != nullptr; }
  void operator()(void* to, const void* from, std::int64_t pixels) const {
    apply(state, to, from, pixels);
  }
};

/// activation(x * scale + shift), with batch normalisation's scale gamma / std and shift
/// beta - mean * scale. The activation is a struct of ops/activation.hpp. Has to outlive its map.
template <Scalar T, class Activation>
struct ScaleShift {
  const param_t<T>* scale;  // [c]
  const param_t<T>* shift;  // [c]
  std::int64_t c;
  Activation activation = {};

  InputMap map() const {
    return {[](const void* state, void* to, const void* from, std::int64_t pixels) {
              static_cast<const ScaleShift*>(state)->run(static_cast<T*>(to),
                                                         static_cast<const T*>(from), pixels);
            },
            this};
  }

 private:
  void run(T* to, const T* from, std::int64_t pixels) const {
    for (std::int64_t i = 0; i < pixels; ++i, to += c, from += c) {
      for_lanes<accumulate_t<T>>(c, [&](std::int64_t ch, auto lanes) {
        lanes.store(to + ch, activation.f(simd::fma(lanes.load(from + ch), lanes.load(scale + ch),
                                                    lanes.load(shift + ch))));
      });
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
