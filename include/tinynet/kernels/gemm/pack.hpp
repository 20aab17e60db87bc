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
  const auto put = [&](std::int64_t p, std::int64_t first, const simd::batch<X>& x) {
    X* at = to + p * panel + first;
    if (panel - first >= width) simd::store(at, x);
    else simd::store_partial(at, x, panel - first);
  };
  const auto get = [](const T* from, std::int64_t live) {
    return live >= width ? simd::load(from)
           : live > 0    ? simd::load_partial(from, live)
                         : simd::batch<X>(X(0));
  };
  if (strip.row_stride == 1) {
    const T* from = strip.data;
    for (std::int64_t p = 0; p < depth; ++p, from += strip.col_stride) {
      for (std::int64_t first = 0; first < panel; first += width) {
        put(p, first, get(from + first, lanes - first));
      }
    }
  } else if (strip.col_stride == 1) {
    for (std::int64_t first = 0; first < panel; first += width) {
      const T* from = strip.data + first * strip.row_stride;
      for (std::int64_t p = 0; p < depth; p += width) {
        simd::batch<X> square[width];
#pragma GCC unroll 16
        for (std::int64_t j = 0; j < width; ++j) {
          square[j] = get(from + j * strip.row_stride + p, first + j < lanes ? depth - p : 0);
        }
        simd::transpose<X>(square);
        for (std::int64_t q = 0; q < std::min(width, depth - p); ++q) put(p + q, first, square[q]);
      }
    }
  } else {
    for (std::int64_t p = 0; p < depth; ++p) {
      for (std::int64_t j = 0; j < panel; ++j) {
        to[p * panel + j] = j < lanes ? static_cast<X>(strip(j, p)) : X(0);
      }
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
