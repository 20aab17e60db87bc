#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <type_traits>

#include <tinynet/core/intrinsics.hpp>
#include <tinynet/core/types.hpp>

#include <xsimd/xsimd.hpp>

/// Vectors of the width the build was made for. Functions here take scalars *and* batches, so that
/// one formula is both the reference and the vector loop.
namespace tinynet::inline TINYNET_ABI::simd {

/// A vector register of float or double.
template <class A>
using batch = xsimd::batch<A>;

/// Elements of `A` in a register.
template <class A>
inline constexpr std::int64_t width = static_cast<std::int64_t>(batch<A>::size);

/// Registers of the build's widest set: microkernels choose their block by it.
inline constexpr int registers =
#if defined(__AVX512F__) || defined(__aarch64__)
    32;
#else
    16;
#endif

template <class X>
inline constexpr bool is_scalar = std::is_arithmetic_v<X>;

namespace detail {
/// f(x) for an f that is constant beyond +-1000. xsimd 8.1 takes the exponent of a double through long,
/// lane by lane, which has no room for NaN and infinity: undefined, if harmless on x86.
template <class X, class F>
X within_long(const X& x, F f) {
  if constexpr (std::is_same_v<X, batch<double>>) {
    const auto number = x == x;
    const X some = xsimd::select(number, x, X(0.0));
    return xsimd::select(number, f(xsimd::min(xsimd::max(some, X(-1000.0)), X(1000.0))), x);
  } else {
    return f(x);
  }
}
}  // namespace detail

#if defined(__AVX512F__)
namespace detail {
/// exp(x) by the polynomial of Cephes' expf. `scalef` overflows by itself, and where the result would
/// be subnormal it is zero, as in xsimd's: 16 instructions instead of its 30.
inline __m512 exp(__m512 x) {
  const auto normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.33654f), _CMP_NLT_UQ);
  x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);  // in this order NaN passes
  const auto n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                      _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  auto r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  auto p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
  return _mm512_maskz_scalef_ps(normal, _mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}
}  // namespace detail
#endif

// clang-format off
/// exp(x). Registers of less than 512 bits: infinity from 88.3763 on, where std::exp has it from 88.7229.
template <class X> X exp(const X& x) {
  if constexpr (is_scalar<X>) return std::exp(x);
#if defined(__AVX512F__)
  else if constexpr (std::is_same_v<X, batch<float>>) return detail::exp(x);
#endif
  else return detail::within_long(x, [](const X& some) { return xsimd::exp(some); });
}
template <class X> X log(const X& x)   { if constexpr (is_scalar<X>) return std::log(x);  else return xsimd::log(x); }
template <class X> X tanh(const X& x) {
  if constexpr (is_scalar<X>) return std::tanh(x);
  else return detail::within_long(x, [](const X& some) { return xsimd::tanh(some); });
}
template <class X> X erf(const X& x) {
  if constexpr (is_scalar<X>) return std::erf(x);
  else return detail::within_long(x, [](const X& some) { return xsimd::erf(some); });
}
template <class X> X abs(const X& x)   { if constexpr (is_scalar<X>) return std::abs(x);  else return xsimd::abs(x); }
template <class X> X max(const X& a, const std::type_identity_t<X>& b) {
  if constexpr (is_scalar<X>) return a > b ? a : b; else return xsimd::max(a, b);
}
template <class X> X min(const X& a, const std::type_identity_t<X>& b) {
  if constexpr (is_scalar<X>) return a < b ? a : b; else return xsimd::min(a, b);
}
template <class X> X sqrt(const X& x) {
  if constexpr (is_scalar<X>) return std::sqrt(x);
#if defined(__aarch64__)  // xsimd 8.1 refines an estimate: not the nearest value, NaN at infinity
  else if constexpr (std::is_same_v<X, batch<float>>) return vsqrtq_f32(x);
#endif
  else return xsimd::sqrt(x);
}
/// a * b + c
template <class X> X fma(const X& a, const std::type_identity_t<X>& b, const std::type_identity_t<X>& c) {
  if constexpr (is_scalar<X>) return a * b + c;
#if defined(__AVX512F__)  // xsimd 8.1 multiplies and adds here, which only GCC joins again
  else if constexpr (std::is_same_v<X, batch<float>>) return _mm512_fmadd_ps(a, b, c);
  else if constexpr (std::is_same_v<X, batch<double>>) return _mm512_fmadd_pd(a, b, c);
#endif
  else return xsimd::fma(a, b, c);
}
/// condition ? a : b, lane by lane.
template <class X> X select(bool condition, const X& a, const std::type_identity_t<X>& b) { return condition ? a : b; }
template <class X, class Arch> xsimd::batch<X, Arch> select(const xsimd::batch_bool<X, Arch>& condition,
    const std::type_identity_t<xsimd::batch<X, Arch>>& a, const std::type_identity_t<xsimd::batch<X, Arch>>& b) {
  return xsimd::select(condition, a, b);
}
// clang-format on

namespace detail {
/// 1/2 + x R(x^2) as far as 5.54, where it is 1 to half a unit; R is the quotient of two polynomials of
/// degree 5, found by Remez's algorithm and rounded so that all errors stay below 1.7e-7, with and
/// without fma. Beyond, x R exceeds 1/2 and is cut. By xsimd's erf, two polynomials and an exp, gelu
/// took twice as long.
inline batch<float> normal_cdf(const batch<float>& x) {
  using V = batch<float>;
  const V u = xsimd::min(V(x * x), V(30.7328f));
  auto p = simd::fma(V(2.26504575e-08f), u, V(6.29510305e-06f));
  p = simd::fma(p, u, V(0.000166419879f));
  p = simd::fma(p, u, V(0.00466238195f));
  p = simd::fma(p, u, V(0.0336595662f));
  p = simd::fma(p, u, V(0.398942262f));
  auto q = simd::fma(V(1.19036758e-06f), u, V(7.26590224e-05f));
  q = simd::fma(q, u, V(0.00187116105f));
  q = simd::fma(q, u, V(0.028527366f));
  q = simd::fma(q, u, V(0.251038313f));
  q = simd::fma(q, u, V(1.0f));
  const V y = x * p / q;
  return V(0.5f) + xsimd::min(V(0.5f), xsimd::max(V(-0.5f), y));  // in this order NaN passes
}
}  // namespace detail

/// The share of the standard normal distribution below x. Float registers: to 1.7e-7.
template <class X>
X normal_cdf(const X& x) {
  if constexpr (std::is_same_v<X, batch<float>>) return detail::normal_cdf(x);
  else if constexpr (is_scalar<X>) return X(0.5) * std::erfc(x * X(-1 / std::numbers::sqrt2));
  else return X(0.5) * (X(1) + erf(x * X(1 / std::numbers::sqrt2)));
}

/// The sum of all lanes, in an order that depends on the width alone.
template <class A>
A sum(const batch<A>& x) {
  return xsimd::hadd(x);
}

/// The largest of all lanes, none of which is NaN.
template <class A>
A largest(const batch<A>& x) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, float>) return _mm512_reduce_max_ps(x);
#endif
  alignas(64) A lane[width<A>];
  x.store_aligned(lane);
  A most = lane[0];
  for (std::int64_t i = 1; i < width<A>; ++i) most = lane[i] > most ? lane[i] : most;
  return most;
}

namespace detail {

// The conversions below exist because xsimd 8.1 widens 16-bit integers through the stack, which made
// a bf16 load ten times slower than the addition it fed.

// One element after the other, and not inlined: dozens of instructions in every kernel, which are slow
// wherever they stand.
template <class T>
[[gnu::noinline]] batch<float> widen_each(const T* p) {
  alignas(64) float wide[width<float>];
  for (std::int64_t i = 0; i < width<float>; ++i) wide[i] = p[i];
  return batch<float>::load_aligned(wide);
}
template <class T>
[[gnu::noinline]] void narrow_each(T* p, const batch<float>& x) {
  alignas(64) float wide[width<float>];
  x.store_aligned(wide);
  for (std::int64_t i = 0; i < width<float>; ++i) p[i] = T(wide[i]);
}

inline batch<float> widen(const bfloat16* p) {
#if defined(__AVX512F__)
  const auto half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(__AVX2__)
  const auto half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#elif defined(__SSE2__) && !defined(__AVX__)
  const auto half = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), half));
#else
  return widen_each(p);
#endif
}

#if defined(__AVX512F__)
inline __m256i narrowed(const bfloat16*, __m512 x) {
#if defined(__AVX512BF16__)
  const auto half = _mm512_cvtneps_pbh(x);
  return reinterpret_cast<const __m256i&>(half);
#else
  const auto u = _mm512_castps_si512(x);
  const auto odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const auto rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const auto nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const auto kept = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
#endif
}
inline __m256i narrowed(const float16*, __m512 x) {
  return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#endif

inline void narrow(bfloat16* p, const batch<float>& x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrowed(p, x));
#elif defined(__AVX2__)
  const auto u = _mm256_castps_si256(x);
  const auto odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const auto rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const auto nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const auto quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  const auto kept = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  const auto packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(kept, kept), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
#elif defined(__SSE2__) && !defined(__AVX__)
  const auto u = _mm_castps_si128(x);
  const auto odd = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
  const auto rounded = _mm_add_epi32(u, _mm_add_epi32(odd, _mm_set1_epi32(0x7fff)));
  const auto nan = _mm_castps_si128(_mm_cmpunord_ps(x, x));
  const auto quiet = _mm_and_si128(nan, _mm_or_si128(u, _mm_set1_epi32(0x400000)));
  const auto kept = _mm_or_si128(quiet, _mm_andnot_si128(nan, rounded));
  const auto half = _mm_srai_epi32(kept, 16);  // with its sign, for the signed pack
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi32(half, half));
#else
  narrow_each(p, x);
#endif
}

inline batch<float> widen(const float16* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX__) && defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  return widen_each(p);
#endif
}

inline void narrow(float16* p, const batch<float>& x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrowed(p, x));
#elif defined(__AVX__) && defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#else
  narrow_each(p, x);
#endif
}

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define TINYNET_MASKED_TAILS 1

inline __mmask16 first_lanes(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline batch<float> widen_first(const float* p, std::int64_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
inline batch<double> widen_first(const double* p, std::int64_t n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(n)), p);
}
inline batch<float> widen_first(const bfloat16* p, std::int64_t n) {
  const auto wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
inline batch<float> widen_first(const float16* p, std::int64_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
inline void store_first(float* p, const batch<float>& x, std::int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), x);
}
inline void store_first(double* p, const batch<double>& x, std::int64_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(n)), x);
}
template <class T>
void store_first(T* p, const batch<float>& x, std::int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), narrowed(p, x));
}
#endif

}  // namespace detail

/// Loads `width<accumulate_t<T>>` elements, widened to the type they are summed in. Any alignment.
template <class T>
batch<accumulate_t<T>> load(const T* p) {
  if constexpr (std::is_floating_point_v<T>) return batch<T>::load_unaligned(p);
  else return detail::widen(p);
}

/// Stores a register as `T`, rounded to nearest even. Any alignment.
template <class T>
void store(T* p, const std::type_identity_t<batch<accumulate_t<T>>>& x) {
  if constexpr (std::is_floating_point_v<T>) x.store_unaligned(p);
  else detail::narrow(p, x);
}

/// x. GCC loads what several sums take from memory again for each: three times, for a window of three.
template <class A>
batch<A> in_register(batch<A> x) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  __asm__("" : "+v"(x.data));
#endif
  return x;
}

/// Loads `n` elements, 0 < n <= width; the other lanes are zero. Tails take the same vector path as
/// the rest, so that an element's value does not depend on where in an array it stands.
#ifdef TINYNET_MASKED_TAILS
template <class T>
batch<accumulate_t<T>> load_partial(const T* p, std::int64_t n) {
  return detail::widen_first(p, n);
}
template <class T>
void store_partial(T* p, const std::type_identity_t<batch<accumulate_t<T>>>& x, std::int64_t n) {
  detail::store_first(p, x, n);
}
#else
template <class T>
[[gnu::noinline]] batch<accumulate_t<T>> load_partial(const T* p, std::int64_t n) {
  alignas(64) T lanes[width<accumulate_t<T>>] = {};
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T>
[[gnu::noinline]] void store_partial(T* p, const std::type_identity_t<batch<accumulate_t<T>>>& x,
                                     std::int64_t n) {
  alignas(64) T lanes[width<accumulate_t<T>>];
  store(lanes, x);
  for (std::int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
#endif

}  // namespace tinynet::inline TINYNET_ABI::simd
