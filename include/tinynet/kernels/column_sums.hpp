#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>

/// Sums over the rows of matrices [rows, c], the loop under bias gradients and batch norm.
namespace tinynet::inline TINYNET_ABI::kernels::vectors {

/// Rows of c elements of T that stay in a first-level cache of 32 KB beside a few rows of sums.
template <Scalar T>
constexpr std::int64_t cached_rows(std::int64_t c) {
  return std::max<std::int64_t>(1, 24 * 1024 / static_cast<std::int64_t>(sizeof(T)) / c);
}

/// `count` neighbouring registers of each sum stay in registers over all rows.
template <class A, std::size_t sums, int count, class Lanes, class F>
void column_strip(const std::array<A*, sums>& out, Range rows, std::int64_t ch, Lanes lanes,
                  const F& f) {
  using V = simd::batch<A>;
  constexpr auto w = simd::width<A>;
  std::array<std::array<V, sums>, count> total;
  for (auto& t : total) t.fill(V(A(0)));
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    for (int i = 0; i < count; ++i) {
      const std::array<V, sums> term = f(row, ch + i * w, lanes);
      for (std::size_t q = 0; q < sums; ++q) total[i][q] += term[q];
    }
  }
  for (int i = 0; i < count; ++i) {
    for (std::size_t q = 0; q < sums; ++q) lanes.store(out[q] + ch + i * w, total[i][q]);
  }
}

/// out[q][ch] = sum over `rows` of f(row, ch, lanes)[q], in A.
template <class A, std::size_t sums, class F>
void column_sums(const std::array<A*, sums>& out, Range rows, std::int64_t c, const F& f) {
  constexpr auto w = simd::width<A>;
  std::int64_t ch = 0;
  for (; ch + 4 * w <= c; ch += 4 * w) column_strip<A, sums, 4>(out, rows, ch, FullLanes{}, f);
  for (; ch + w <= c; ch += w) column_strip<A, sums, 1>(out, rows, ch, FullLanes{}, f);
  if (ch < c) column_strip<A, sums, 1>(out, rows, ch, PartLanes{c - ch}, f);
}

/// totals[q * c + ch] = sum over all rows of f(row, ch, lanes)[q]: blocks of rows in A, their sums
/// in double, so that the error does not grow with the number of rows. T is what f reads.
template <class A, Scalar T, std::size_t sums, class F>
void reduce_rows(std::span<double> totals, std::int64_t rows, std::int64_t c, const F& f) {
  constexpr auto count = static_cast<std::int64_t>(sums);
  const std::int64_t per_unit = reduction_rows(rows, c);
  const std::int64_t units = (rows + per_unit - 1) / per_unit;
  Scratch scratch;
  const auto partial = scratch.take<double>(units * count * c);
  parallel_ranges(rows, per_unit, [&](Range unit) {
    auto* total = partial.data() + unit.begin / per_unit * count * c;
    std::fill_n(total, count * c, 0.0);
    Scratch unit_scratch;
    const auto block = unit_scratch.take<A>(count * c);
    std::array<A*, sums> out;
    for (std::size_t q = 0; q < sums; ++q) out[q] = block.data() + static_cast<std::int64_t>(q) * c;
    const std::int64_t step = cached_rows<T>(c);
    for (std::int64_t row = unit.begin; row < unit.end; row += step) {
      column_sums<A, sums>(out, {row, std::min(row + step, unit.end)}, c, f);
      for (std::int64_t i = 0; i < count * c; ++i) total[i] += block[i];
    }
  });
  std::fill(totals.begin(), totals.end(), 0.0);
  for (std::int64_t unit = 0; unit < units; ++unit) {
    for (std::int64_t i = 0; i < count * c; ++i) totals[i] += partial[unit * count * c + i];
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::vectors
