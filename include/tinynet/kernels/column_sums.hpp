#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>

/// Sums over the rows of matrices [rows, c], the loop under bias gradients and batch norm.
namespace tinynet::inline TINYNET_ABI::kernels::vectors {

/// Rows of c elements of T that stay in a first-level cache of 32 KB beside a few rows of sums.
template <Scalar T>
constexpr std::int64_t cached_rows(std::int64_t c) {
  return std::max<std::int64_t>(1, 24 * 1024 / static_cast<std::int64_t>(sizeof(T)) / c);
}

template <class V, std::size_t... Q>
[[gnu::always_inline]] inline void add_terms(std::index_sequence<Q...>, V* total,
                                             const std::array<V, sizeof...(Q)>& term) {
  ((total[Q] += term[Q]), ...);
}

/// Adds some neighbouring rows to a register of each sum.
template <class A, std::size_t sums, std::size_t... Row, class Lanes, class F>
[[gnu::always_inline]] inline void add_rows(std::index_sequence<Row...>,
                                            const std::array<A*, sums>& out, std::int64_t row,
                                            std::int64_t ch, Lanes lanes, const F& f) {
  using V = simd::batch<A>;
  constexpr auto each = std::make_index_sequence<sums>();
  V total[sums];
  for (std::size_t q = 0; q < sums; ++q) total[q] = lanes.load(out[q] + ch);
  (add_terms<V>(each, total, f(row + static_cast<std::int64_t>(Row), ch, lanes)), ...);
  for (std::size_t q = 0; q < sums; ++q) lanes.store(out[q] + ch, total[q]);
}

/// out[q][ch] = sum over `rows` of f(row, ch, lanes)[q], in A. Two rows at a time along all their
/// channels, in the order of memory: the sums wait in L1, where strips of 64 channels down all rows
/// took 1.4 times as long. With four rows what an activation needs no longer fits the registers.
template <class A, std::size_t sums, class F>
void column_sums(const std::array<A*, sums>& out, Range rows, std::int64_t c, const F& f) {
  constexpr std::int64_t together = 2;
  constexpr auto two = std::make_index_sequence<together>();
  constexpr auto one = std::make_index_sequence<1>();
  for (auto* each : out) std::fill_n(each, c, A(0));
  for (auto row = rows.begin; row < rows.end;) {
    const bool both = rows.end - row >= together;
    std::int64_t done = 0;  // channels
    for (; both && done + simd::width<A> <= c; done += simd::width<A>) {
      add_rows<A, sums>(two, out, row, done, FullLanes{}, f);
    }
    const auto next = row + (both ? together : 1);
    for (; row < next; ++row) {
      for (auto ch = done; ch < c; ch += simd::width<A>) {
        const PartLanes lanes{std::min(simd::width<A>, c - ch)};
        add_rows<A, sums>(one, out, row, ch, lanes, f);
      }
    }
  }
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
