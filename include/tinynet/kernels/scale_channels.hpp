#pragma once

#include <algorithm>
#include <span>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/kernels/choose.hpp>

/// The channel gate of squeeze-and-excite: y[n, p, c] = x[n, p, c] * gate[n, c], for pixels p.
///
/// Floor: one read and one write of the image; the gate stays in L1. The gradient of the gate is the
/// sum over pixels of dy * x, formed per image in order.
namespace tinynet::inline TINYNET_ABI::kernels {

struct ScaleChannelsGeometry {
  std::int64_t n = 0;
  std::int64_t pixels = 0;
  std::int64_t c = 0;
};

namespace detail {

/// One row of channels: y (+)= a * b.
template <Scalar T, Scalar B>
void multiply_row(T* y, Store store, const T* a, const B* b, std::int64_t c, bool reference) {
  using A = accumulate_t<T>;
  const bool add = store == Store::add;
  std::int64_t i = 0;
  if (!reference) {
    for (; i + simd::width<A> <= c; i += simd::width<A>) {
      auto value = simd::load(a + i) * simd::load(b + i);
      if (add) value = value + simd::load(y + i);
      simd::store(y + i, value);
    }
  }
  for (; i < c; ++i) {
    const A value = static_cast<A>(a[i]) * static_cast<A>(b[i]);
    y[i] = static_cast<T>(add ? static_cast<A>(y[i]) + value : value);
  }
}

/// One row of channels: sum += a * b.
template <Scalar T>
void add_product_row(accumulate_t<T>* sum, const T* a, const T* b, std::int64_t c, bool reference) {
  using A = accumulate_t<T>;
  std::int64_t i = 0;
  if (!reference) {
    for (; i + simd::width<A> <= c; i += simd::width<A>) {
      simd::store(sum + i, simd::fma(simd::load(a + i), simd::load(b + i), simd::load(sum + i)));
    }
  }
  for (; i < c; ++i) sum[i] += static_cast<A>(a[i]) * static_cast<A>(b[i]);
}

}  // namespace detail

/// y[n, p, c] (+)= x[n, p, c] * gate[n, c].
template <Scalar T>
void scale_channels(std::span<T> y, Store store, std::span<const T> x,
                    std::span<const param_t<T>> gate, const ScaleChannelsGeometry& g) {
  const bool reference = path_limit() == Path::reference;
  parallel_for(g.n, [&](std::int64_t n) {
    for (std::int64_t p = 0; p < g.pixels; ++p) {
      const auto at = (n * g.pixels + p) * g.c;
      detail::multiply_row(y.data() + at, store, x.data() + at, gate.data() + n * g.c, g.c, reference);
    }
  });
}

/// dgate[n, c] (+)= sum_p dy[n, p, c] * x[n, p, c].
template <Scalar T>
void scale_channels_backward_gate(std::span<param_t<T>> dgate, Store store, std::span<const T> dy,
                                  std::span<const T> x, const ScaleChannelsGeometry& g) {
  const bool reference = path_limit() == Path::reference;
  parallel_for(g.n, [&](std::int64_t n) {
    auto* sum = dgate.data() + n * g.c;
    if (store == Store::overwrite) std::fill_n(sum, g.c, param_t<T>(0));
    for (std::int64_t p = 0; p < g.pixels; ++p) {
      const auto at = (n * g.pixels + p) * g.c;
      detail::add_product_row<T>(sum, dy.data() + at, x.data() + at, g.c, reference);
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
