#pragma once

#include <array>

#include <tinynet/core/types.hpp>

/// Normalisation, gate, residual and activation of images in one pass over memory, and their
/// gradient in two. Batch normalisation and a gate are one scale and one shift for each channel of
/// each image:
///
///   z[n, p, c] = scale[n, c] * x[n, p, c] + shift[n, c] + residual[n, p, c],   y = f(z)
///
/// Where all images share scale and shift they are one image of n * pixels pixels.
namespace tinynet::inline TINYNET_ABI::kernels {

struct NormActGeometry {
  std::int64_t n = 0;
  std::int64_t pixels = 0;
  std::int64_t c = 0;

  std::int64_t image() const { return pixels * c; }
};

/// y = f(scale * x + shift + residual). y, of type Y, may be x.
template <Scalar T, class Y = T>
struct NormActForward {
  Y* y;
  const T* x;
  const T* residual;  // or null
  const param_t<T>* scale;
  const param_t<T>* shift;
};

/// ds = dy * f'(z), and its sums over pixels. ds may be dy, or null where only sums are wanted.
template <Scalar T>
struct NormActSums {
  T* ds;
  const T* dy;
  const T* x;
  const T* kept;  // what f' reads beside x: y or the residual, as the activation says; or null
  const param_t<T>* scale;
  const param_t<T>* shift;
  const param_t<T>* center;  // [c]
};

/// dx = a * ds + b + k * x with ds = dy * f'(scale * x + shift): the input gradient of batch
/// normalisation, whose sums a, b and k hold. dx may be dy.
template <Scalar T>
struct NormActInput {
  T* dx;
  Store store;
  const T* dy;
  const T* x;
  const param_t<T>* scale;
  const param_t<T>* shift;
  const param_t<T>* a;
  const param_t<T>* b;
  const param_t<T>* k;
};

/// Linear: what stands behind a normalisation without activation.
struct Identity {
  static constexpr auto name = "";
  auto f(auto x) const { return x; }
  auto df(auto x) const { return decltype(x)(1); }
};

/// Loops over `elements` elements of one image. Coefficients repeat with `period`, a whole number
/// of pixels and, where it can be, of registers.
template <Scalar T>
struct NormActLoops {
  using A = accumulate_t<T>;
  void (*forward)(const void* f, const NormActForward<T>&, std::int64_t elements,
                  std::int64_t period);
  /// sums[0] and sums[1], [period]: of ds and of ds * (x - center).
  void (*sums)(const void* f, const NormActSums<T>&, const std::array<A*, 2>& sums,
               std::int64_t elements, std::int64_t period);
  void (*input)(const void* f, const NormActInput<T>&, std::int64_t elements, std::int64_t period);
};

}  // namespace tinynet::inline TINYNET_ABI::kernels
