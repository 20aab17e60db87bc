#pragma once

#include <tinynet/core/amx.hpp>
#include <tinynet/core/types.hpp>
#include <tinynet/kernels/gemm/contract.hpp>

#ifdef TINYNET_AMX

/// Filling tiles of 16 lanes x 32 bfloat16. A tile of A holds a lane's 32 elements in a row of 64
/// bytes; a tile of B is its transpose in units of two elements. Both come from memory in one of two
/// ways: elements of a lane adjacent (copy), or elements of a depth adjacent (interleave two depths).
/// Which of the two a tile gets directly and which by a transposition depends on what it is for.
namespace tinynet::inline TINYNET_ABI::amx {

using kernels::Matrix;

/// 32 elements, those past `count` zero, as bfloat16.
TINYNET_TARGET_AMX inline void load_32(bfloat16* to, const bfloat16* from, std::int64_t count) {
  const auto mask = static_cast<__mmask32>(count >= 32 ? ~0u : (1u << count) - 1);
  _mm512_store_si512(to, _mm512_maskz_loadu_epi16(mask, from));
}
TINYNET_TARGET_AMX inline void load_32(bfloat16* to, const float* from, std::int64_t count) {
  const auto mask = static_cast<std::uint32_t>(count >= 32 ? ~0u : (1u << count) - 1);
  const auto low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from);
  const auto high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16);
  _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/// 16 pairs of elements, one from each of two lines; `second` may be null for a line of zeros.
TINYNET_TARGET_AMX inline void load_pairs(bfloat16* to, const bfloat16* first,
                                          const bfloat16* second, std::int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
  const auto low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first));
  const auto high = _mm512_cvtepu16_epi32(
      _mm256_maskz_loadu_epi16(second ? mask : __mmask16(0), second));
  _mm512_store_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
TINYNET_TARGET_AMX inline void load_pairs(bfloat16* to, const float* first, const float* second,
                                          std::int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
  const auto low = _mm512_maskz_loadu_ps(mask, first);
  const auto high = _mm512_maskz_loadu_ps(second ? mask : __mmask16(0), second);
  const auto halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  const auto a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves));
  const auto b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(halves, 1));
  _mm512_store_si512(to, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
}

/// Turns a tile of 16 x 16 pairs in place.
TINYNET_TARGET_AMX inline void transpose_pairs(bfloat16* tile) {
  __m512i r[16], s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(tile + 32 * i);
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
    _mm512_store_si512(tile + 32 * i, _mm512_shuffle_i32x4(s[i], s[i + 8], 0x88));
    _mm512_store_si512(tile + 32 * (i + 4), _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0x88));
    _mm512_store_si512(tile + 32 * (i + 8), _mm512_shuffle_i32x4(s[i], s[i + 8], 0xdd));
    _mm512_store_si512(tile + 32 * (i + 12), _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0xdd));
  }
}

/// What a tile is filled for: lane after lane (A), or pair of depths after pair of depths (B).
enum class TileOrder { lanes, pairs };

/// Fills one tile from `strip` [lanes <= 16, depth <= 32]; what is missing becomes zero.
template <class T>
TINYNET_TARGET_AMX void pack_tile(bfloat16* tile, Matrix<const T> strip, TileOrder order) {
  const auto row = strip.row_stride, col = strip.col_stride;
  if (row == 1 && col != 1) {
    for (std::int64_t p = 0; p < tile_depth; p += 2) {
      const T* first = strip.data + p * col;
      if (p < strip.cols) {
        load_pairs(tile + 16 * p, first, p + 1 < strip.cols ? first + col : nullptr, strip.rows);
      } else {
        _mm512_store_si512(tile + 16 * p, _mm512_setzero_si512());
      }
    }
    if (order == TileOrder::lanes) transpose_pairs(tile);
    return;
  }
  for (std::int64_t i = 0; i < tile_rows; ++i) {
    bfloat16* to = tile + i * tile_depth;
    const T* from = strip.data + i * row;
    if (i >= strip.rows) {
      _mm512_store_si512(to, _mm512_setzero_si512());
    } else if (col == 1) {
      load_32(to, from, strip.cols);
    } else {
      for (std::int64_t p = 0; p < tile_depth; ++p) {
        to[p] = p < strip.cols ? bfloat16(static_cast<float>(from[p * col])) : bfloat16(0.0f);
      }
    }
  }
  if (order == TileOrder::pairs) transpose_pairs(tile);
}

/// Fills the tiles of a strip of at most 32 lanes, two side by side for each 32 of depth: 2 KB that
/// one step of the product reads in order.
template <class T>
TINYNET_TARGET_AMX void pack_tiles(bfloat16* to, Matrix<const T> strip, TileOrder order) {
  for (std::int64_t p = 0; p < strip.cols; p += tile_depth) {
    for (std::int64_t half = 0; half < 2 * tile_rows; half += tile_rows, to += tile_elements) {
      const auto lanes = strip.rows - half, depth = strip.cols - p;
      const Matrix<const T> part{strip.data + half * strip.row_stride + p * strip.col_stride,
                                 lanes < 0 ? 0 : lanes < tile_rows ? lanes : tile_rows,
                                 depth < tile_depth ? depth : tile_depth, strip.row_stride,
                                 strip.col_stride};
      pack_tile(to, part, order);
    }
  }
  finish_stores();
}

}  // namespace tinynet::inline TINYNET_ABI::amx

#endif
