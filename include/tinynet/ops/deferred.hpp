#pragma once

#include <memory>

#include <tinynet/autograd/variable.hpp>
#include <tinynet/kernels/input_map.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// What a convolution reads: an image, or one that is not stored but made from another by a map.
template <Scalar T>
struct Deferred {
  /// The image, or with a map the one before it. Its node takes gradients of the map's results, so that with a
  /// map nobody but a convolution may read it.
  Variable<T> raw;
  kernels::InputMap map = {};
  std::shared_ptr<const void> state = {};  // of the map
};

}  // namespace tinynet::inline TINYNET_ABI::ops
