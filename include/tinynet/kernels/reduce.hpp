#pragma once

#include <cmath>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/column_sums.hpp>
#include <tinynet/kernels/loops.hpp>

/// Sums and extremes. Every sum has one order, which the length of its input decides.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
void sum_rows(std::span<param_t<T>> out, Store store, std::span<const T> x, std::int64_t c) {
  const auto rows = static_cast<std::int64_t>(x.size()) / c;
  for (std::int64_t ch = 0; ch < c; ++ch) {
    double total = 0;
    for (std::int64_t row = 0; row < rows; ++row) total += x[row * c + ch];
    put(out[ch], static_cast<param_t<T>>(total), store);
  }
}

template <Scalar T>
double sum(std::span<const T> x) {
  double total = 0;
  for (const T v : x) total += v;
  return total;
}

template <Scalar T>
double sum_squares(std::span<const T> x) {
  double total = 0;
  for (const T v : x) total += double{v} * double{v};
  return total;
}

template <Scalar T>
accumulate_t<T> max_abs(std::span<const T> x) {
  accumulate_t<T> largest = 0;
  for (const accumulate_t<T> v : x) largest = std::abs(v) > largest ? std::abs(v) : largest;
  return largest;
}

template <Scalar T>
bool all_finite(std::span<const T> x) {
  for (const accumulate_t<T> v : x) {
    if (!std::isfinite(v)) return false;
  }
  return true;
}

}  // namespace reference

namespace vectors {

template <Scalar T>
void sum_rows(std::span<param_t<T>> out, Store store, std::span<const T> x, std::int64_t c) {
  using A = accumulate_t<T>;
  Scratch scratch;
  const auto totals = scratch.take<double>(c);
  reduce_rows<A, T, 1>(totals, static_cast<std::int64_t>(x.size()) / c, c,
                       [x = x.data(), c](std::int64_t row, std::int64_t ch, auto lanes) {
                         return std::array{lanes.load(x + row * c + ch)};
                       });
  for (std::int64_t ch = 0; ch < c; ++ch) put(out[ch], static_cast<A>(totals[ch]), store);
}

/// Sums f(register) over x: blocks of 1024 elements in A, their sums in double.
template <Scalar T, class F>
double sum_of(std::span<const T> x, const F& f) {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  constexpr std::int64_t block = 1024;
  const auto size = static_cast<std::int64_t>(x.size());
  std::array<double, 8> partial{};
  const std::int64_t per_unit = reduction_rows((size + block - 1) / block, block) * block;
  parallel_ranges(size, per_unit, [&](Range unit) {
    double total = 0;
    for (std::int64_t begin = unit.begin; begin < unit.end; begin += block) {
      const auto* p = x.data() + begin;
      const auto n = std::min(block, unit.end - begin);
      V even(A(0)), odd(A(0));
      std::int64_t i = 0;
      for (constexpr auto w = simd::width<A>; i + 2 * w <= n; i += 2 * w) {
        even += f(simd::load(p + i));
        odd += f(simd::load(p + i + w));
      }
      for_lanes<A>(n - i, [&](std::int64_t j, auto lanes) { even += f(lanes.load(p + i + j)); });
      total += simd::sum(V(even + odd));
    }
    partial[static_cast<std::size_t>(unit.begin / per_unit)] = total;
  });
  double total = 0;
  for (const double part : partial) total += part;
  return total;
}

template <Scalar T>
double sum(std::span<const T> x) {
  return sum_of(x, [](const auto& v) { return v; });
}

template <Scalar T>
double sum_squares(std::span<const T> x) {
  return sum_of(x, [](const auto& v) { return v * v; });
}

template <Scalar T>
accumulate_t<T> max_abs(std::span<const T> x) {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  const auto size = static_cast<std::int64_t>(x.size());
  std::array<A, 8> partial{};
  const std::int64_t per_unit = reduction_rows(size, 1);
  parallel_ranges(size, per_unit, [&](Range unit) {
    V largest(A(0));
    for_lanes<A>(unit.size(), [&](std::int64_t i, auto lanes) {
      const V v = simd::abs(lanes.load(x.data() + unit.begin + i));
      largest = simd::select(v > largest, v, largest);
    });
    alignas(64) A lane[simd::width<A>];
    largest.store_aligned(lane);
    partial[static_cast<std::size_t>(unit.begin / per_unit)] =
        *std::max_element(lane, lane + simd::width<A>);
  });
  return *std::max_element(partial.begin(), partial.end());
}

template <Scalar T>
bool all_finite(std::span<const T> x) {
  // 0 * v is 0 for every finite v, else NaN, which no later addition removes.
  return sum_of(x, [](const auto& v) { return v * accumulate_t<T>(0); }) == 0;
}

}  // namespace vectors

/// out[c] = sum over the rows of x [rows, c]: the gradient of a bias.
template <Scalar T>
void sum_rows(std::span<param_t<T>> out, Store store, std::span<const T> x, std::int64_t c) {
  simd_or_reference("sum_rows", vectors::sum_rows<T>, reference::sum_rows<T>)(out, store, x, c);
}

/// The sum of all elements.
template <Scalar T>
accumulate_t<T> sum(std::span<const T> x) {
  return static_cast<accumulate_t<T>>(
      simd_or_reference("sum", vectors::sum<T>, reference::sum<T>)(x));
}

/// The sum of all squares, for the norm of a gradient. Squares are formed in accumulate_t (so they
/// overflow where a float does), blocks of them are added in double.
template <Scalar T>
double sum_squares(std::span<const T> x) {
  return simd_or_reference("sum_squares", vectors::sum_squares<T>, reference::sum_squares<T>)(x);
}

/// The largest magnitude, 0 for no elements. NaN are passed over: ask `all_finite`.
template <Scalar T>
accumulate_t<T> max_abs(std::span<const T> x) {
  return simd_or_reference("max_abs", vectors::max_abs<T>, reference::max_abs<T>)(x);
}

/// False where there is a NaN or an infinity.
template <Scalar T>
bool all_finite(std::span<const T> x) {
  return simd_or_reference("all_finite", vectors::all_finite<T>, reference::all_finite<T>)(x);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
