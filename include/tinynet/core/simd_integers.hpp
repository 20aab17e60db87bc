#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <tinynet/core/simd.hpp>

/// Registers of float or double from and to small integers in memory: the bytes of images, the taps
/// of pooling windows. By intrinsics where the build has them: a plain loop goes through memory in
/// narrower stores than the load that follows, which then waits for them (measured: 50 cycles).
namespace tinynet::inline TINYNET_ABI::simd {

/// Loads `width<A>` integers. Any alignment.
template <class A, class Integer>
batch<A> load_integers(const Integer* p) {
  static_assert(is_any_of<Integer, std::uint8_t, std::uint16_t>);
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 1) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 2) {
    const auto words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(words));
  }
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 1) {
    const auto bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 2) {
    const auto words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words));
  }
#endif
  alignas(64) A wide[width<A>];
  for (std::int64_t i = 0; i < width<A>; ++i) wide[i] = static_cast<A>(p[i]);
  return batch<A>::load_aligned(wide);
}

/// Loads `n` integers, 0 < n < width; the other lanes are zero.
template <class A, class Integer>
batch<A> load_integers_partial(const Integer* p, std::int64_t n) {
#ifdef TINYNET_MASKED_TAILS
  if constexpr (std::is_same_v<A, float>) {
    const auto mask = detail::first_lanes(n);
    if constexpr (sizeof(Integer) == 1) {
      return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p)));
    } else {
      return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)));
    }
  }
#endif
  Integer lanes[width<A>] = {};
  std::copy_n(p, n, lanes);
  return load_integers<A>(lanes);
}

/// Stores lanes that hold integers in the range of `Integer`, or fractions to be cut off.
template <class A, class Integer>
void store_integers(Integer* p, const batch<A>& x) {
  static_assert(is_any_of<Integer, std::uint8_t, std::uint16_t>);
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 1) {
    const auto bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    return;
  }
  if constexpr (std::is_same_v<A, float> && sizeof(Integer) == 2) {
    const auto words = _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(x));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
    return;
  }
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<A, float>) {
    const auto integers = _mm256_cvttps_epi32(x);
    const auto words =
        _mm_packus_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
    auto* to = reinterpret_cast<__m128i*>(p);
    if constexpr (sizeof(Integer) == 2) _mm_storeu_si128(to, words);
    else _mm_storel_epi64(to, _mm_packus_epi16(words, words));
    return;
  }
#endif
  alignas(64) A lanes[width<A>];
  x.store_aligned(lanes);
  for (std::int64_t i = 0; i < width<A>; ++i) p[i] = static_cast<Integer>(lanes[i]);
}

/// Stores the first `n` lanes, 0 < n < width.
template <class A, class Integer>
void store_integers_partial(Integer* p, const batch<A>& x, std::int64_t n) {
#ifdef TINYNET_MASKED_TAILS
  if constexpr (std::is_same_v<A, float>) {
    const auto mask = detail::first_lanes(n);
    if constexpr (sizeof(Integer) == 1) {
      _mm512_mask_cvtepi32_storeu_epi8(p, mask, _mm512_cvttps_epi32(x));
    } else {
      _mm512_mask_cvtepi32_storeu_epi16(p, mask, _mm512_cvttps_epi32(x));
    }
    return;
  }
#endif
  Integer lanes[width<A>];
  store_integers(lanes, x);
  std::copy_n(lanes, n, p);
}

}  // namespace tinynet::inline TINYNET_ABI::simd
