#pragma once

#include <algorithm>
#include <cstring>

#include <tinynet/core/intrinsics.hpp>
#include <tinynet/core/tiles.hpp>
#include <tinynet/kernels/gemm/tile_steps.hpp>

#ifdef TINYNET_TILES

/// The product of tiles by dot products of vectors, for CPUs that have VDPBF16PS at the rate of float
/// FMA, so that bfloat16 is multiplied twice as fast, and have no tiles.
namespace tinynet::inline TINYNET_ABI::tiles {

/// Where operands and sums lie, in elements.
struct DotStrides {
  std::int64_t a_chunk = 0, b_chunk = 0;  // from one chunk of 32 to the next
  std::int64_t b_right = 0;               // from a tile of b to the tile on its right
  std::int64_t sums = 0;                  // from row to row
};

/// A pair of bfloat16 in all 16 places.
TINYNET_BF16_INLINE __m512bh broadcast_pair(const bfloat16* pair) {
  int bits;
  std::memcpy(&bits, pair, sizeof(bits));
  return (__m512bh)_mm512_set1_epi32(bits);
}

/// sums[Rows][16 * Cols] = or += sum over steps, and over `chunks` of 32 in each, of Rows rows of the
/// tiles of a, times tiles of b. All sums stay in registers. 8 x 2 of them hide the latency, need 10
/// loads for 16 products where two loads fit beside two products, and run at 99 % of the peak, their
/// operands in L1 or contiguous in L2.
template <int Rows, int Cols>
TINYNET_TARGET_BF16 void sum_dots(float* sums, const bfloat16* a, const bfloat16* b,
                                  const Step* steps, std::int64_t count, std::int64_t chunks,
                                  const DotStrides& s, bool accumulate) {
  __m512 sum[Rows][Cols];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int c = 0; c < Cols; ++c) {
      sum[r][c] = accumulate ? _mm512_load_ps(sums + r * s.sums + c * 16) : _mm512_setzero_ps();
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const bfloat16* left = a + steps[i].a + chunk * s.a_chunk;
      const bfloat16* top = b + steps[i].b + chunk * s.b_chunk;
#pragma GCC unroll 4
      for (std::int64_t p = 0; p < tile_depth; p += 2, left += 2, top += 32) {
        __m512bh row[Cols];
#pragma GCC unroll 2
        for (int c = 0; c < Cols; ++c) row[c] = (__m512bh)_mm512_load_si512(top + c * s.b_right);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
          const auto pair = broadcast_pair(left + r * tile_depth);
#pragma GCC unroll 2
          for (int c = 0; c < Cols; ++c) sum[r][c] = _mm512_dpbf16_ps(sum[r][c], pair, row[c]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int c = 0; c < Cols; ++c) _mm512_store_ps(sums + r * s.sums + c * 16, sum[r][c]);
  }
}

/// `sum_steps` by dot products: some steps for all rows, then the next, so that their tiles of b wait in
/// L1 from the first rows to the last.
template <int Rows, int Cols>
void sum_steps_by_dots(float* sums, const bfloat16* a, const bfloat16* b, const Step* steps,
                       std::int64_t count, std::int64_t chunks, bool accumulate) {
  constexpr int rows = Cols == 2 ? 8 : 16;
  constexpr std::int64_t waiting = 8;  // with a's 32 KB, of 48 (Zen 4: 32)
  constexpr DotStrides strides{Rows * tile_elements, Cols * tile_elements, tile_elements,
                               Cols * tile_rows};
  std::int64_t i = 0;
  do {
    const auto some = std::min(waiting, count - i);
    for (std::int64_t r = 0; r < Rows * tile_rows; r += rows) {
      sum_dots<rows, Cols>(sums + r * strides.sums, a + r * tile_depth, b, steps + i, some, chunks,
                           strides, accumulate);
    }
    accumulate = true;
    i += some;
  } while (i < count);
}

/// The version for one or two tiles along each side.
inline SumSteps sum_steps_by_dots_of(std::int64_t rows, std::int64_t cols) {
  if (rows == 2) return cols == 2 ? sum_steps_by_dots<2, 2> : sum_steps_by_dots<2, 1>;
  return cols == 2 ? sum_steps_by_dots<1, 2> : sum_steps_by_dots<1, 1>;
}

}  // namespace tinynet::inline TINYNET_ABI::tiles

#endif
