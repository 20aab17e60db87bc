#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tinynet/core/types.hpp>
#include <tinynet/kernels/choose.hpp>
#include <tinynet/kernels/input_map.hpp>

/// Two-dimensional cross-correlation, channels last.
///
///   y[n, oh, ow, oc] = bias[oc] + sum_{kh, kw, ic} x[n, oh*s - p + kh*d, ow*s - p + kw*d, ic]
///                                                  * w[oc, kh, kw, ic]
///
/// with stride s, zero padding p, dilation d. With g groups, output channel oc reads the ic/g input
/// channels of group oc / (oc_total / g), and w is [oc, kh, kw, ic/g].
namespace tinynet::inline TINYNET_ABI::kernels {

struct Conv2dGeometry {
  std::int64_t n = 0, h = 0, w = 0, ic = 0;  // input  [n, h, w, ic]
  std::int64_t oh = 0, ow = 0, oc = 0;       // output [n, oh, ow, oc]
  std::int64_t kh = 0, kw = 0;               // window, pixels
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;

  std::int64_t macs() const { return n * oh * ow * oc * kh * kw * (ic / groups); }
};

/// Output size of a window along one axis; zero or less where the window does not fit.
constexpr std::int64_t window_output(std::int64_t size, std::int64_t kernel, std::int64_t stride,
                                     std::int64_t padding, std::int64_t dilation) {
  const std::int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

/// The sums that batch normalisation needs of y, before or after it is rounded to T, around a center
/// that keeps them exact where the mean is much larger than the deviation: the running mean, say.
template <Scalar T>
struct OutputMoments {
  std::span<const param_t<T>> center = {};  // [oc], or empty for zero
  std::span<double> sums = {};  // [2, oc]: of y - center, of its square; empty: not wanted
};

/// What the forward pass does on the way, so that nobody reads its operands again for it.
template <Scalar T>
struct Conv2dFusion {
  std::span<const param_t<T>> bias = {};  // [oc], or empty
  InputMap map = {};                      // of x
  OutputMoments<T> moments = {};
};

/// A version of the forward pass. Weights come packed by the version's own `pack` into
/// `packed_bytes(g)` bytes aligned to 64, once per optimizer step; the reference packs a plain copy.
template <Scalar T>
struct Conv2dForward {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  std::int64_t (*packed_bytes)(const Conv2dGeometry&) = nullptr;
  void (*pack)(std::byte* packed, std::span<const param_t<T>> w, const Conv2dGeometry&) = nullptr;
  void (*run)(std::span<T> y, std::span<const T> x, const std::byte* packed, const Conv2dFusion<T>&,
              const Conv2dGeometry&) = nullptr;
  const char* way = nullptr;  // where a path has several
};

/// A version of the input gradient: dx[n, h, w, ic] from dy[n, oh, ow, oc] and packed weights.
template <Scalar T>
struct Conv2dBackwardInput {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  std::int64_t (*packed_bytes)(const Conv2dGeometry&) = nullptr;
  void (*pack)(std::byte* packed, std::span<const param_t<T>> w, const Conv2dGeometry&) = nullptr;
  void (*run)(std::span<T> dx, Store, std::span<const T> dy, const std::byte* packed,
              const Conv2dGeometry&) = nullptr;
  const char* way = nullptr;
};

/// A version of the weight gradient: dw[oc, kh, kw, ic/groups], in param_t, from dy and the map of x.
template <Scalar T>
struct Conv2dBackwardWeight {
  Path path;
  const char* (*refuses)(const Conv2dGeometry&);
  void (*run)(std::span<param_t<T>> dw, Store, std::span<const T> dy, std::span<const T> x,
              InputMap, const Conv2dGeometry&) = nullptr;
  const char* way = nullptr;
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
