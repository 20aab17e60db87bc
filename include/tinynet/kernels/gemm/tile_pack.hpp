#pragma once

#include <tinynet/core/tiles.hpp>
#include <tinynet/core/types.hpp>
#include <tinynet/kernels/gemm/contract.hpp>

#ifdef TINYNET_TILES

/// Filling tiles of 16 lanes x 32 bfloat16. A tile of A holds a lane's 32 elements in a row of 64
/// bytes; a tile of B is its transpose in units of two elements. Both come from memory in one of
/// two ways: elements of a lane adjacent (copy), or elements of a depth adjacent (interleave two
/// depths). What a tile is for decides which of them needs a transposition on top.
namespace tinynet::inline TINYNET_ABI::tiles {

using kernels::Matrix;

/// 16 bfloat16 as floats.
TINYNET_BF16_INLINE __m512 widened(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/// 32 elements, those past `count` zero, as bfloat16.
TINYNET_BF16_INLINE __m512i load_32(const bfloat16* from, std::int64_t count) {
  if (count >= 32) return _mm512_loadu_si512(from);
  return _mm512_maskz_loadu_epi16((1u << count) - 1, from);
}
TINYNET_BF16_INLINE __m512i load_32(const float* from, std::int64_t count) {
  const auto mask = count >= 32 ? ~0u : (1u << count) - 1;
  const auto low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from);
  const auto high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/// 16 pairs of elements, one from each of two lines; `second` may be null for a line of zeros. (Not
/// read with a mask of zeros: at address 0 that costs the CPU a microsecond.)
TINYNET_BF16_INLINE __m512i load_pairs(const bfloat16* first, const bfloat16* second,
                                       std::int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
  const auto low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first));
  const auto high = _mm512_cvtepu16_epi32(
      _mm256_maskz_loadu_epi16(second ? mask : __mmask16(0), second ? second : first));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
TINYNET_BF16_INLINE __m512i load_pairs(const float* first, const float* second,
                                       std::int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
  const auto low = _mm512_maskz_loadu_ps(mask, first);
  const auto high = _mm512_maskz_loadu_ps(second ? mask : __mmask16(0), second ? second : first);
  const auto halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  const auto a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves));
  const auto b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(halves, 1));
  return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

/// Turns 16 x 16 pairs.
TINYNET_BF16_INLINE void transpose_pairs(__m512i (&r)[16]) {
  __m512i s[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(s[i], s[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(s[i], s[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(s[i + 1], s[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(s[i + 1], s[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    s[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    s[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    s[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    s[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0xdd);
  }
}

/// The same in a tile, in place.
TINYNET_TARGET_BF16 inline void turn_tile(bfloat16* tile) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(tile + i * tile_depth);
  transpose_pairs(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_si512(tile + i * tile_depth, r[i]);
}

/// What a tile is filled for: lane after lane (A), or pair of depths after pair of depths (B).
enum class TileOrder { lanes, pairs };

/// Fills one tile from `strip` [lanes <= 16, depth <= 32]; what is missing becomes zero.
template <class T>
TINYNET_TARGET_BF16 void pack_tile(bfloat16* tile, Matrix<const T> strip, TileOrder order) {
  const auto row = strip.row_stride, col = strip.col_stride;
  const auto found = row == 1 && col != 1 ? TileOrder::pairs : TileOrder::lanes;
  for (int i = 0; i < 16; ++i) {
    auto* line = tile + i * tile_depth;
    if (found == TileOrder::pairs) {
      const T* first = strip.data + 2 * i * col;
      const auto left = strip.cols - 2 * i;
      _mm512_store_si512(line, left > 0
                                   ? load_pairs(first, left > 1 ? first + col : nullptr, strip.rows)
                                   : _mm512_setzero_si512());
    } else if (i >= strip.rows) {
      _mm512_store_si512(line, _mm512_setzero_si512());
    } else if (col == 1) {
      _mm512_store_si512(line, load_32(strip.data + i * row, strip.cols));
    } else {
      for (std::int64_t p = 0; p < tile_depth; ++p) {
        const auto at = i * row + p * col;
        line[p] = p < strip.cols ? bfloat16(static_cast<float>(strip.data[at])) : bfloat16();
      }
    }
  }
  if (found != order) turn_tile(tile);
}

/// Fills the tiles of a strip of at most 32 lanes, two side by side for each 32 of depth: 2 KB that
/// one step of the product reads in order.
template <class T>
TINYNET_TARGET_BF16 void pack_tiles(bfloat16* to, Matrix<const T> strip, TileOrder order) {
  for (std::int64_t p = 0; p < strip.cols; p += tile_depth) {
    for (std::int64_t half = 0; half < 2 * tile_rows; half += tile_rows, to += tile_elements) {
      const auto lanes = strip.rows - half, depth = strip.cols - p;
      const Matrix<const T> part{strip.data + half * strip.row_stride + p * strip.col_stride,
                                 lanes < 0           ? 0
                                 : lanes < tile_rows ? lanes
                                                     : tile_rows,
                                 depth < tile_depth ? depth : tile_depth, strip.row_stride,
                                 strip.col_stride};
      pack_tile(to, part, order);
    }
  }
  finish_stores();
}

}  // namespace tinynet::inline TINYNET_ABI::tiles

#endif
