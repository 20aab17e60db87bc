#pragma once

#include <algorithm>
#include <span>

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/loops.hpp>

/// Columns of one matrix as columns of a wider one: concatenation along channels and its gradient.
/// Copies of rows, bound by memory; there is nothing for a second version to do better.
namespace tinynet::inline TINYNET_ABI::kernels {

/// wide[r, at + i] = narrow[r, i].
template <Scalar T>
void place_columns(std::span<T> wide, std::int64_t wide_columns, std::int64_t at,
                   std::span<const T> narrow, std::int64_t narrow_columns) {
  const auto rows = std::ssize(narrow) / std::max<std::int64_t>(narrow_columns, 1);
  parallel_ranges(rows, grain_rows(wide_columns), [&](Range range) {
    for (auto r = range.begin; r < range.end; ++r) {
      std::copy_n(narrow.data() + r * narrow_columns, narrow_columns,
                  wide.data() + r * wide_columns + at);
    }
  });
}

/// narrow[r, i] = wide[r, at + i], or += .
template <Scalar T>
void take_columns(std::span<T> narrow, Store store, std::int64_t narrow_columns,
                  std::span<const T> wide, std::int64_t wide_columns, std::int64_t at) {
  using A = accumulate_t<T>;
  const auto rows = std::ssize(narrow) / std::max<std::int64_t>(narrow_columns, 1);
  parallel_ranges(rows, grain_rows(wide_columns), [&](Range range) {
    for (auto r = range.begin; r < range.end; ++r) {
      const T* from = wide.data() + r * wide_columns + at;
      T* to = narrow.data() + r * narrow_columns;
      if (store == Store::overwrite) {
        std::copy_n(from, narrow_columns, to);
        continue;
      }
      for_lanes<A>(narrow_columns, [&](std::int64_t i, auto lanes) {
        lanes.store(to + i, lanes.load(to + i) + lanes.load(from + i));
      });
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
