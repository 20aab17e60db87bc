#pragma once

#include <tinynet/core/tiles.hpp>
#include <tinynet/kernels/gemm/tile_steps.hpp>

#ifdef TINYNET_TILES

namespace tinynet::inline TINYNET_ABI::tiles {

/// sums[16 * Rows][16 * Cols] = or += sum over steps, and over `chunks` of 32 in each, of a * b. At a
/// step the operands' tiles follow each other: Rows of them for each chunk of a, Cols for each of b.
/// With two of each, four loads hide behind four products. Needs a TileSection.
template <int Rows, int Cols>
TINYNET_TARGET_AMX void sum_steps(float* sums, const bfloat16* a, const bfloat16* b,
                                  const Step* steps, std::int64_t count, std::int64_t chunks,
                                  bool accumulate) {
  constexpr int row_bytes = 16 * Cols * sizeof(float);
  constexpr auto right = 16, below = 16 * 16 * Cols;
  finish_stores();
  if (accumulate) {
    _tile_loadd(0, sums, row_bytes);
    if constexpr (Cols == 2) _tile_loadd(1, sums + right, row_bytes);
    if constexpr (Rows == 2) _tile_loadd(2, sums + below, row_bytes);
    if constexpr (Rows == 2 && Cols == 2) _tile_loadd(3, sums + below + right, row_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const bfloat16* left = a + steps[i].a;
    const bfloat16* top = b + steps[i].b;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      _tile_loadd(4, left, 64);
      _tile_loadd(6, top, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (Cols == 2) {
        _tile_loadd(7, top + tile_elements, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (Rows == 2) {
        _tile_loadd(5, left + tile_elements, 64);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (Cols == 2) _tile_dpbf16ps(3, 5, 7);
      }
      left += Rows * tile_elements;
      top += Cols * tile_elements;
    }
  }
  _tile_stored(0, sums, row_bytes);
  if constexpr (Cols == 2) _tile_stored(1, sums + right, row_bytes);
  if constexpr (Rows == 2) _tile_stored(2, sums + below, row_bytes);
  if constexpr (Rows == 2 && Cols == 2) _tile_stored(3, sums + below + right, row_bytes);
  finish_stores();
}

/// The version for one or two tiles along each side.
inline SumSteps sum_steps_of(std::int64_t rows, std::int64_t cols) {
  if (rows == 2) return cols == 2 ? sum_steps<2, 2> : sum_steps<2, 1>;
  return cols == 2 ? sum_steps<1, 2> : sum_steps<1, 1>;
}

}  // namespace tinynet::inline TINYNET_ABI::tiles

#endif
