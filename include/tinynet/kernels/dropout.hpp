#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <tinynet/core/random.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>

/// Dropout: y = x / keep with probability `keep`, else 0. Decision i is word i of the key's random
/// stream, so no mask is stored: the gradient is the same function of dy with the same key.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

/// factors[i] = what decision first + i multiplies by.
template <class A>
void dropout_factors(A* factors, std::int64_t count, std::int64_t first, double keep,
                     random::Key key) {
  for (std::int64_t i = 0; i < count; ++i) {
    const bool kept = random::uniform(key, static_cast<std::uint64_t>(first + i)) < keep;
    factors[i] = kept ? static_cast<A>(1 / keep) : A(0);
  }
}

}  // namespace reference

namespace vectors {

/// A register of 64-bit lanes, by the compilers' vector types: four operations are all it takes.
#if defined(__AVX512F__)
inline constexpr int word_lanes = 8;
#elif defined(__AVX2__)
inline constexpr int word_lanes = 4;
#else
inline constexpr int word_lanes = 2;
#endif
using WordLanes [[gnu::vector_size(8 * word_lanes)]] = std::uint64_t;

/// The products, 64 bits each, of what stands in the lower halves of the lanes.
inline WordLanes multiply_lower(const WordLanes& a, const WordLanes& b) {
#if defined(__AVX512F__)
  return (WordLanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (WordLanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (WordLanes)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

/// a[first], b[first], a[first + 1], b[first + 1], ...
template <std::size_t... i>
WordLanes interleave(const WordLanes& a, const WordLanes& b, int first, std::index_sequence<i...>) {
  constexpr int n = word_lanes;
  return first == 0 ? __builtin_shufflevector(a, b, int(i / 2 + i % 2 * n)...)
                    : __builtin_shufflevector(a, b, int(i / 2 + i % 2 * n + n / 2)...);
}

template <std::size_t... i>
WordLanes counting(std::index_sequence<i...>) {
  return WordLanes{std::uint64_t{i}...};
}

/// Counters in a step: two registers, whose chains of multiplications run beside each other.
inline constexpr std::int64_t philox_blocks = 2 * word_lanes;

/// words[4 * i + q] = random::block(key, counter + i)[q]. The lower half of a lane is a word; a product
/// is two of the next round, and what it leaves in upper halves is never read. Compilers do not find
/// that in plain loops at -O2: 7.7 ns a word on one core at 2.5 GHz, 1.3 so.
inline void philox(std::uint32_t* words, random::Key key, std::uint64_t counter) {
  const auto lanes = std::make_index_sequence<word_lanes>();
  const WordLanes first = counting(lanes) + counter, second = first + std::uint64_t{word_lanes};
  WordLanes w0[2] = {first, second}, w1[2] = {first >> 32, second >> 32}, w2[2] = {}, w3[2] = {};
  const WordLanes m0 = WordLanes{} + 0xd2511f53, m1 = WordLanes{} + 0xcd9e8d57;
  auto key0 = static_cast<std::uint32_t>(key.value);
  auto key1 = static_cast<std::uint32_t>(key.value >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const auto p0 = multiply_lower(w0[half], m0), p1 = multiply_lower(w2[half], m1);
      w0[half] = (p1 >> 32) ^ w1[half] ^ std::uint64_t{key0};
      w2[half] = (p0 >> 32) ^ w3[half] ^ std::uint64_t{key1};
      w1[half] = p1, w3[half] = p0;
    }
    key0 += 0x9e3779b9;
    key1 += 0xbb67ae85;
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const WordLanes front = (w0[half] & 0xffffffff) | w1[half] << 32;
    const WordLanes back = (w2[half] & 0xffffffff) | w3[half] << 32;
    const WordLanes in_order[2] = {interleave(front, back, 0, lanes),
                                   interleave(front, back, 1, lanes)};
    std::memcpy(words + half * 4 * word_lanes, in_order, sizeof in_order);
  }
}

/// The same factors from many counters at once; `first` is a multiple of 4.
template <class A>
void dropout_factors(A* factors, std::int64_t count, std::int64_t first, double keep,
                     random::Key key) {
  constexpr auto step = 4 * philox_blocks;
  // uniform(key, i) < keep, in integers: a uniform is a multiple of 2^-24
  const auto below = static_cast<std::int32_t>(std::ceil(keep * 0x1p24));
  const A kept = keep > 0 ? static_cast<A>(1 / keep) : A(0);
  for (std::int64_t begin = 0; begin < count; begin += step) {
    alignas(64) std::uint32_t words[step];
    philox(words, key, static_cast<std::uint64_t>(first + begin) / 4);
    A rest[step];
    A* to = count - begin < step ? rest : factors + begin;
    for (std::int64_t i = 0; i < step; ++i) {
      to[i] = static_cast<std::int32_t>(words[i] >> 8) < below ? kept : A(0);
    }
    if (to == rest) std::copy_n(rest, count - begin, factors + begin);
  }
}

}  // namespace vectors

namespace detail {

template <class A>
auto dropout_factors() {
  return simd_or_reference("dropout", vectors::dropout_factors<A>, reference::dropout_factors<A>);
}

template <Scalar T>
void multiply(T* y, Store store, const T* x, const accumulate_t<T>* factors, std::int64_t size) {
  for_lanes<accumulate_t<T>>(size, [&](std::int64_t i, auto lanes) {
    put(y + i, lanes.load(x + i) * lanes.load(factors + i), store, lanes);
  });
}

}  // namespace detail

/// Each element by itself: decision i for element i.
template <Scalar T>
void dropout(std::span<T> y, std::span<const T> x, double keep, random::Key key,
             Store store = Store::overwrite) {
  using A = accumulate_t<T>;
  constexpr std::int64_t block = 1024;
  const auto fill = detail::dropout_factors<A>();
  parallel_ranges(std::ssize(x), grain, [&](Range range) {
    A factors[block];
    for (std::int64_t begin = range.begin; begin < range.end; begin += block) {
      const std::int64_t size = std::min(block, range.end - begin);
      fill(factors, size, begin, keep, key);
      detail::multiply(y.data() + begin, store, x.data() + begin, factors, size);
    }
  });
}

/// Whole channels: x is [n, pixels, c], decision n * c + ch for channel ch of image n.
template <Scalar T>
void dropout2d(std::span<T> y, std::span<const T> x, double keep, random::Key key,
               std::int64_t pixels, std::int64_t c, Store store = Store::overwrite) {
  using A = accumulate_t<T>;
  const std::int64_t rows = std::ssize(x) / c, images = rows / pixels;
  Scratch scratch;
  const auto factors = scratch.take<A>(images * c);
  detail::dropout_factors<A>()(factors.data(), images * c, 0, keep, key);
  parallel_ranges(rows, grain_rows(c), [&](Range range) {
    while (range.begin < range.end) {  // an image at a time: one division for all of its rows
      const std::int64_t image = range.begin / pixels;
      const std::int64_t end = std::min(range.end, (image + 1) * pixels);
      for (std::int64_t row = range.begin; row < end; ++row) {
        detail::multiply(y.data() + row * c, store, x.data() + row * c, factors.data() + image * c,
                         c);
      }
      range.begin = end;
    }
  });
}

/// Whole samples (stochastic depth): x is [n, size], decision n for sample n.
template <Scalar T>
void drop_path(std::span<T> y, std::span<const T> x, double keep, random::Key key,
               std::int64_t size, Store store = Store::overwrite) {
  using A = accumulate_t<T>;
  const std::int64_t samples = std::ssize(x) / size;
  Scratch scratch;
  const auto factors = scratch.take<A>(samples);
  detail::dropout_factors<A>()(factors.data(), samples, 0, keep, key);
  parallel_ranges(samples, grain_rows(size), [&](Range range) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      const simd::batch<A> factor(factors[n]);
      for_lanes<A>(size, [&](std::int64_t i, auto lanes) {
        put(y.data() + n * size + i, lanes.load(x.data() + n * size + i) * factor, store, lanes);
      });
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
