#pragma once

#include <tinynet/core/simd.hpp>

/// Transposition of a square of registers.
namespace tinynet::inline TINYNET_ABI::simd {

/// rows[i] lane j <-> rows[j] lane i.
template <class X>
void transpose(batch<X> (&rows)[width<X>]) {
  alignas(64) X square[width<X>][width<X>];
  for (std::int64_t i = 0; i < width<X>; ++i) rows[i].store_aligned(square[i]);
  alignas(64) X turned[width<X>][width<X>];
  for (std::int64_t i = 0; i < width<X>; ++i) {
    for (std::int64_t j = 0; j < width<X>; ++j) turned[j][i] = square[i][j];
  }
  for (std::int64_t i = 0; i < width<X>; ++i) rows[i] = batch<X>::load_aligned(turned[i]);
}

#if defined(__AVX512F__)

template <>
inline void transpose(batch<float> (&rows)[16]) {
  __m512 r[16], s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = rows[i];
    // Pairs, then fours within each 128-bit lane, then the lanes themselves.
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const auto pd = [](__m512 x) { return _mm512_castps_pd(x); };
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(s[i]), pd(s[i + 2])));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(s[i]), pd(s[i + 2])));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(s[i + 1]), pd(s[i + 3])));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(s[i + 1]), pd(s[i + 3])));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    s[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    s[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    s[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    s[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_f32x4(s[i], s[i + 8], 0x88);
    rows[i + 4] = _mm512_shuffle_f32x4(s[i + 4], s[i + 12], 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(s[i], s[i + 8], 0xdd);
    rows[i + 12] = _mm512_shuffle_f32x4(s[i + 4], s[i + 12], 0xdd);
  }
}

#elif defined(__AVX__)

template <>
inline void transpose(batch<float> (&rows)[8]) {
  __m256 r[8], s[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
}

#elif defined(__SSE2__)

template <>
inline void transpose(batch<float> (&rows)[4]) {
  __m128 r0 = rows[0], r1 = rows[1], r2 = rows[2], r3 = rows[3];
  _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
  rows[0] = r0, rows[1] = r1, rows[2] = r2, rows[3] = r3;
}

#endif

}  // namespace tinynet::inline TINYNET_ABI::simd
