#pragma once

#include <tinynet/core/simd.hpp>

/// The two innermost loops of convolution, in registers. Both multiply a scalar, broadcast, with
/// vectors of output channels; they differ in what stays and what is walked along.
///
/// The blocks fill the register file: 24 sums (of 16 registers 12), two vectors and one broadcast.
/// They know nothing of T, padding or stores, so there are few of them and what surrounds them is
/// free to change.
///
/// Floor: one FMA a product, two of them a cycle. Measured alone, operands in L1 and L2, against
/// FMA that load nothing: tiles 98 %, outer products 97 % at height 12 and 85 % at height 8 with
/// AVX-512; 96 to 99 % and 92 % with AVX2.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Contiguous values: what neighbouring taps read, where they touch.
struct Run {
  std::int64_t offset = 0;  // from a pixel's first value
  std::int64_t length = 0;
};

/// Pixels in a tile of `multiply_tile`. With 14 of them x86 has too few registers for their
/// addresses, and a tile is slower than one of 12 (84 against 90 % of the peak).
inline constexpr int tile_pixels = simd::registers == 32 ? 12 : 6;

/// sums[p][0 .. Vectors*W) = sum over runs and their elements of pixels[p][offset + e] * weights,
/// where weights holds Vectors registers for each element in turn.
template <class A, int Vectors>
[[gnu::noinline]] void multiply_tile(const A* const* pixels, const Run* runs,
                                     std::int64_t run_count, const A* weights, A* sums) {
  using V = simd::batch<A>;
  constexpr auto W = simd::width<A>;
  const A* x[tile_pixels];
  V sum[tile_pixels][Vectors];
#pragma GCC unroll 16
  for (int p = 0; p < tile_pixels; ++p) {
    x[p] = pixels[p];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[p][v] = V(A(0));
  }
  for (std::int64_t i = 0; i < run_count; ++i) {
    const auto end = runs[i].offset + runs[i].length;
    for (auto e = runs[i].offset; e < end; ++e, weights += Vectors * W) {
      V weight[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) weight[v] = simd::load(weights + v * W);
#pragma GCC unroll 16
      for (int p = 0; p < tile_pixels; ++p) {
        const V value(x[p][e]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[p][v] = simd::fma(value, weight[v], sum[p][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < tile_pixels; ++p) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) simd::store(sums + (p * Vectors + v) * W, sum[p][v]);
  }
}

/// sums[m][0 .. Vectors*W) += sum over rows and their pixels c of x[row][c * step + m] * dy, where
/// dy holds Vectors registers for each pixel in turn and m < Height.
template <class A, int Height, int Vectors>
[[gnu::noinline]] void add_outer_products(const A* const* x_rows, std::int64_t row_count,
                                          std::int64_t cols, std::int64_t step, std::int64_t offset,
                                          const A* dy, A* sums) {
  using V = simd::batch<A>;
  constexpr auto W = simd::width<A>;
  V sum[Height][Vectors];
#pragma GCC unroll 16
  for (int m = 0; m < Height; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[m][v] = simd::load(sums + (m * Vectors + v) * W);
  }
  for (std::int64_t row = 0; row < row_count; ++row) {
    const A* x = x_rows[row] + offset;
    for (std::int64_t c = 0; c < cols; ++c, x += step, dy += Vectors * W) {
      V d[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) d[v] = simd::load(dy + v * W);
#pragma GCC unroll 16
      for (int m = 0; m < Height; ++m) {
        const V value(x[m]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[m][v] = simd::fma(value, d[v], sum[m][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < Height; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) simd::store(sums + (m * Vectors + v) * W, sum[m][v]);
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
