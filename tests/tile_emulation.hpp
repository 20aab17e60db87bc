#pragma once

// The instructions of AMX-BF16 and AVX512-BF16 in software: with this header included first, the kernels
// over tiles run and are tested on any CPU with AVX-512. Sums are formed in the order of the instructions;
// only subnormal numbers are kept here.

#include <cstdint>
#include <cstring>

#include <tinynet/core/intrinsics.hpp>

#if defined(__x86_64__) && defined(__linux__)
#define TINYNET_EMULATED_TILES 1
#define TINYNET_EMULATION \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))) inline

namespace tests::emulation {

/// The lower and the upper halves of pairs of bfloat16, as float.
TINYNET_EMULATION __m512 firsts(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
TINYNET_EMULATION __m512 seconds(__m512i pairs) {
  const auto upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
}

/// VDPBF16PS
TINYNET_EMULATION __m512 dot(__m512 sum, __m512bh a, __m512bh b) {
  sum = _mm512_fmadd_ps(seconds((__m512i)a), seconds((__m512i)b), sum);
  return _mm512_fmadd_ps(firsts((__m512i)a), firsts((__m512i)b), sum);
}

/// VCVTNEPS2BF16
TINYNET_EMULATION __m256bh narrow(__m512 x) {
  std::uint32_t words[16];
  std::uint16_t halves[16];
  std::memcpy(words, &x, sizeof words);
  for (int i = 0; i < 16; ++i) {
    const auto word = words[i];
    const bool nan = (word & 0x7fffffff) > 0x7f800000;
    const auto rounded = nan ? word | 0x400000 : word + 0x7fff + (word >> 16 & 1);
    halves[i] = static_cast<std::uint16_t>(rounded >> 16);
  }
  __m256bh result;
  std::memcpy(&result, halves, sizeof halves);
  return result;
}

/// VCVTNE2PS2BF16
TINYNET_EMULATION __m512bh narrow(__m512 high, __m512 low) {
  const __m256bh halves[] = {narrow(low), narrow(high)};
  __m512bh result;
  std::memcpy(&result, halves, sizeof halves);
  return result;
}

/// LDTILECFG: how many rows of how many bytes each register has.
struct Configuration {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
inline thread_local Configuration configuration;
inline void load_configuration(const void* from) {
  std::memcpy(&configuration, from, sizeof configuration);
}

/// The registers; what a row does not have is zero.
inline thread_local std::uint8_t tiles[8][16][64];

/// TILELOADD, TILESTORED, TILEZERO
inline void zero(int tile) { std::memset(tiles[tile], 0, sizeof tiles[tile]); }
inline void load(int tile, const void* from, std::int64_t stride) {
  zero(tile);
  for (int row = 0; row < configuration.rows[tile]; ++row) {
    std::memcpy(tiles[tile][row], static_cast<const std::uint8_t*>(from) + row * stride,
                configuration.row_bytes[tile]);
  }
}
inline void store(int tile, void* to, std::int64_t stride) {
  for (int row = 0; row < configuration.rows[tile]; ++row) {
    std::memcpy(static_cast<std::uint8_t*>(to) + row * stride, tiles[tile][row],
                configuration.row_bytes[tile]);
  }
}

/// TDPBF16PS: the first and the second of all pairs are summed apart, then added to what was there.
TINYNET_EMULATION void multiply(int sum, int a, int b) {
  for (int row = 0; row < 16; ++row) {
    auto first = _mm512_setzero_ps(), second = _mm512_setzero_ps();
    for (int k = 0; k < 16; ++k) {
      int pair;
      __m512i pairs;
      std::memcpy(&pair, tiles[a][row] + 4 * k, sizeof pair);
      std::memcpy(&pairs, tiles[b][k], sizeof pairs);
      first = _mm512_fmadd_ps(firsts(_mm512_set1_epi32(pair)), firsts(pairs), first);
      second = _mm512_fmadd_ps(seconds(_mm512_set1_epi32(pair)), seconds(pairs), second);
    }
    __m512 c;
    std::memcpy(&c, tiles[sum][row], sizeof c);
    c = _mm512_add_ps(c, _mm512_add_ps(first, second));
    std::memcpy(tiles[sum][row], &c, sizeof c);
  }
}

}  // namespace tests::emulation

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _mm512_dpbf16_ps tests::emulation::dot
#define _mm512_cvtneps_pbh tests::emulation::narrow
#define _mm512_cvtne2ps_pbh tests::emulation::narrow
#define _tile_loadd tests::emulation::load
#define _tile_stored tests::emulation::store
#define _tile_zero tests::emulation::zero
#define _tile_dpbf16ps tests::emulation::multiply
#define _tile_loadconfig tests::emulation::load_configuration
#define _tile_release() static_cast<void>(0)
#endif
