#pragma once

#include <memory>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/kernels/input_map.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// A map that a convolution applies to what it reads, and what keeps its coefficients.
struct InputMap {
  kernels::InputMap map = {};
  std::shared_ptr<const void> state = {};
};

/// The map of an image that is not stored: whoever reads it applies the map. `x` is the image before it,
/// with the node that takes gradients of the map's results.
template <Scalar T>
struct Deferred {
  Variable<T> x;
  InputMap map = {};
};

}  // namespace tinynet::inline TINYNET_ABI::ops
