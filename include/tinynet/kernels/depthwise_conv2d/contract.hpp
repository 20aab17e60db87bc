#pragma once

#include <span>

#include <tinynet/core/types.hpp>
#include <tinynet/kernels/choose.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>

/// Depthwise cross-correlation: every channel is filtered by its own window.
///
///   y[n, oh, ow, c] = bias[c] + sum_{kh, kw} x[n, oh*s - p + kh*d, ow*s - p + kw*d, c] * w[c, kh, kw]
///
/// With a map x is what the map makes of the input, in accumulate_t: it is not rounded to T.
/// The geometry is Conv2dGeometry with ic == oc == groups. Bound by memory, not by arithmetic: each
/// activation should be read and written once.
namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
struct DepthwiseForward {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  void (*run)(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> w,
              std::span<const param_t<T>> bias, InputMap, const Conv2dGeometry&);
};

template <Scalar T>
struct DepthwiseBackwardInput {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  void (*run)(std::span<T> dx, Store, std::span<const T> dy, std::span<const param_t<T>> w,
              const Conv2dGeometry&);
};

template <Scalar T>
struct DepthwiseBackwardWeight {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  void (*run)(std::span<param_t<T>> dw, Store, std::span<const T> dy, std::span<const T> x,
              InputMap, const Conv2dGeometry&);
};

/// Both gradients.
template <Scalar T>
struct DepthwiseBackward {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  void (*run)(std::span<T> dx, Store dx_store, std::span<param_t<T>> dw, Store dw_store,
              std::span<const T> dy, std::span<const T> x, InputMap, std::span<const param_t<T>> w,
              const Conv2dGeometry&);
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
