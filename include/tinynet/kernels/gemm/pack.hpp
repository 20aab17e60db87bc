#pragma once

#include <algorithm>

#include <tinynet/core/transpose.hpp>
#include <tinynet/kernels/gemm/contract.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// Copies a strip of a matrix for the microkernel: `panel` lanes side by side, depth after depth,
/// converted to the type of the sums; lanes that the matrix lacks become zero.
///
///   to[p * panel + j] = strip(j, p)      strip [lanes, depth], lanes <= panel
///
/// A strip of A is some of its rows; a strip of B is some columns, that is rows of its transpose.
template <class X, class T>
void pack_panel(X* to, std::int64_t panel, Matrix<const T> strip) {
  constexpr auto width = simd::width<X>;
  const auto lanes = strip.rows, depth = strip.cols;
  // Lanes [first, first + count) of the panel, of which the matrix has `live`.
  for (std::int64_t first = 0; first < panel; first += width) {
    const auto count = std::min(width, panel - first);
    const auto live = std::clamp<std::int64_t>(lanes - first, 0, count);
    const auto put = [&](std::int64_t p, const simd::batch<X>& x) {
      if (count == width) simd::store(to + p * panel + first, x);
      else simd::store_partial(to + p * panel + first, x, count);
    };
    const T* from = strip.data + first * strip.row_stride;

    if (live > 0 && strip.row_stride == 1) {
      for (std::int64_t p = 0; p < depth; ++p, from += strip.col_stride) {
        put(p, live == width ? simd::load(from) : simd::load_partial(from, live));
      }
    } else if (live > 0 && strip.col_stride == 1) {
      for (std::int64_t p = 0; p < depth; p += width) {
        const auto some = std::min(width, depth - p);
        simd::batch<X> square[width];
#pragma GCC unroll 16
        for (std::int64_t j = 0; j < width; ++j) {
          const T* row = from + j * strip.row_stride + p;
          square[j] = j >= live ? simd::batch<X>(X(0))
                                : some == width ? simd::load(row) : simd::load_partial(row, some);
        }
        simd::transpose<X>(square);
        for (std::int64_t q = 0; q < some; ++q) put(p + q, square[q]);
      }
    } else {
      for (std::int64_t p = 0; p < depth; ++p) {
        for (std::int64_t j = 0; j < count; ++j) {
          to[p * panel + first + j] = j < live ? static_cast<X>(strip(first + j, p)) : X(0);
        }
      }
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
