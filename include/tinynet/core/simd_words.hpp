#pragma once

#include <cstdint>

#include <tinynet/core/simd.hpp>

/// Registers of 32-bit words that hold up to four bytes each: the channels of a pixel.
namespace tinynet::inline TINYNET_ABI::simd {

using Words = xsimd::batch<std::int32_t>;
static_assert(Words::size == batch<float>::size);

inline Words load_words(const std::int32_t* p) { return Words::load_unaligned(p); }
inline void store_words(std::int32_t* p, const Words& x) { x.store_unaligned(p); }

/// Words from p[index] of each lane; the indices are whole numbers below 2^24.
inline Words gather(const std::int32_t* p, const batch<float>& index) {
#if defined(__AVX512F__)
  return _mm512_i32gather_epi32(_mm512_cvttps_epi32(index), p, 4);
#else
  return Words::gather(p, xsimd::to_int(index));
#endif
}

/// Byte `i` of each word, 0 the lowest.
inline batch<float> byte(const Words& x, int i) { return xsimd::to_float((x >> (8 * i)) & 255); }

/// `x`, cut off to whole numbers from 0 to 255, as byte `i` of words whose others are zero.
inline Words to_byte(const batch<float>& x, int i) { return xsimd::to_int(x) << (8 * i); }

/// Cuts off the fraction; |x| < 2^31.
inline batch<float> trunc(const batch<float>& x) { return xsimd::to_float(xsimd::to_int(x)); }

/// 0, 1, 2, ...
inline batch<float> iota() {
  alignas(64) float lanes[width<float>];
  for (std::int64_t i = 0; i < width<float>; ++i) lanes[i] = static_cast<float>(i);
  return batch<float>::load_aligned(lanes);
}

}  // namespace tinynet::inline TINYNET_ABI::simd
