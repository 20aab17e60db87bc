#pragma once

#include <algorithm>
#include <span>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/kernels/choose.hpp>

/// Loops that apply a formula to every element.
///
/// The formula is called with accumulate_t scalars by the reference and with batches by the vector
/// version: one text. Bound by memory: each operand is read once and the result written once.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Elements a unit of work: 64 KB of float, below which a parallel region costs more than it saves.
inline constexpr std::int64_t elementwise_grain = 1 << 14;

namespace detail {

template <Scalar T, class F, Scalar... X>
void transform_reference(T* y, Store store, std::int64_t n, const F& f, const X*... x) {
  using A = accumulate_t<T>;
  for (std::int64_t i = 0; i < n; ++i) {
    const A value = f(static_cast<A>(x[i])...);
    y[i] = static_cast<T>(store == Store::add ? static_cast<A>(y[i]) + value : value);
  }
}

template <Scalar T, class F, Scalar... X>
void transform_simd(T* y, Store store, std::int64_t n, const F& f, const X*... x) {
  using A = accumulate_t<T>;
  constexpr auto width = simd::width<A>;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    simd::batch<A> value = f(simd::load(x + i)...);
    if (store == Store::add) value = value + simd::load(y + i);
    simd::store(y + i, value);
  }
  if (const auto rest = n - i; rest > 0) {
    simd::batch<A> value = f(simd::load_partial(x + i, rest)...);
    if (store == Store::add) value = value + simd::load_partial(y + i, rest);
    simd::store_partial(y + i, value, rest);
  }
}

}  // namespace detail

/// y[i] = f(x[i]...), or += as `store` says. All operands have y's length and sum in one type; y may
/// be one of them.
template <Scalar T, class F, Scalar... X>
void transform(std::span<T> y, Store store, const F& f, std::span<const X>... x) {
  static_assert((std::is_same_v<accumulate_t<T>, accumulate_t<X>> && ...));
  const bool reference = path_limit() == Path::reference;
  parallel_ranges(std::ssize(y), elementwise_grain, [&](Range range) {
    if (reference) {
      detail::transform_reference(y.data() + range.begin, store, range.size(), f,
                                  (x.data() + range.begin)...);
    } else {
      detail::transform_simd(y.data() + range.begin, store, range.size(), f,
                             (x.data() + range.begin)...);
    }
  });
}

/// y = x or y += x.
template <Scalar T>
void accumulate(std::span<T> y, Store store, std::span<const T> x) {
  if (store == Store::overwrite) {
    std::copy(x.begin(), x.end(), y.begin());
  } else {
    transform(
        y, store, [](auto v) { return v; }, x);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
