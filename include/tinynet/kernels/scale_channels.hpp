#pragma once

#include <algorithm>
#include <span>

#include <tinynet/kernels/loops.hpp>

/// The channel gate of squeeze-and-excite: y[n, p, c] = x[n, p, c] * gate[n, c], for pixels p.
///
/// Floor: one read and one write of the image; the gate stays in L1. The gradient of the gate is the
/// sum over pixels of dy * x, formed by one thread for each image, in order.
namespace tinynet::inline TINYNET_ABI::kernels {

struct ScaleChannelsGeometry {
  std::int64_t n = 0;
  std::int64_t pixels = 0;
  std::int64_t c = 0;
};

namespace reference {

/// Rows of channels: y (+)= a * b.
template <Scalar T>
void multiply_rows(T* y, Store store, const T* a, const param_t<T>* b, std::int64_t rows,
                   std::int64_t c) {
  for (std::int64_t i = 0; i < rows * c; ++i) {
    put(y[i], static_cast<accumulate_t<T>>(a[i]) * b[i % c], store);
  }
}

/// One row of channels: sums += a * b.
template <Scalar T>
void add_products(param_t<T>* sums, const T* a, const T* b, std::int64_t c) {
  using A = accumulate_t<T>;
  for (std::int64_t i = 0; i < c; ++i) sums[i] += static_cast<A>(a[i]) * static_cast<A>(b[i]);
}

}  // namespace reference

namespace vectors {

template <Scalar T>
void multiply_rows(T* y, Store store, const T* a, const param_t<T>* b, std::int64_t rows,
                   std::int64_t c) {
  for (; rows > 0; --rows, y += c, a += c) {
    for_lanes<accumulate_t<T>>(c, [=](std::int64_t i, auto lanes) {
      put(y + i, lanes.load(a + i) * lanes.load(b + i), store, lanes);
    });
  }
}

template <Scalar T>
void add_products(param_t<T>* sums, const T* a, const T* b, std::int64_t c) {
  for_lanes<accumulate_t<T>>(c, [&](std::int64_t i, auto lanes) {
    lanes.store(sums + i, simd::fma(lanes.load(a + i), lanes.load(b + i), lanes.load(sums + i)));
  });
}

}  // namespace vectors

/// y[n, p, c] (+)= x[n, p, c] * gate[n, c].
template <Scalar T>
void scale_channels(std::span<T> y, Store store, std::span<const T> x,
                    std::span<const param_t<T>> gate, const ScaleChannelsGeometry& g) {
  const auto multiply =
      simd_or_reference("scale_channels", vectors::multiply_rows<T>, reference::multiply_rows<T>);
  parallel_for(g.n, Cost::of_elements(std::ssize(x)), [&](std::int64_t n) {
    const auto at = n * g.pixels * g.c;
    multiply(y.data() + at, store, x.data() + at, gate.data() + n * g.c, g.pixels, g.c);
  });
}

/// dgate[n, c] (+)= sum_p dy[n, p, c] * x[n, p, c].
template <Scalar T>
void scale_channels_backward_gate(std::span<param_t<T>> dgate, Store store, std::span<const T> dy,
                                  std::span<const T> x, const ScaleChannelsGeometry& g) {
  const auto row = simd_or_reference("scale_channels backward gate", vectors::add_products<T>,
                                     reference::add_products<T>);
  parallel_for(g.n, Cost::of_elements(std::ssize(x)), [&](std::int64_t n) {
    auto* sums = dgate.data() + n * g.c;
    if (store == Store::overwrite) std::fill_n(sums, g.c, param_t<T>(0));
    for (std::int64_t p = 0; p < g.pixels; ++p) {
      const auto at = (n * g.pixels + p) * g.c;
      row(sums, dy.data() + at, x.data() + at, g.c);
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
