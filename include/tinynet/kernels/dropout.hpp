#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

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

/// random::philox for counters in the lanes of `word`, in a loop that compilers turn into vectors.
template <int lanes>
void philox(random::Key key, std::uint32_t (&word)[4][lanes]) {
  for (int i = 0; i < lanes; ++i) {
    std::uint32_t w0 = word[0][i], w1 = word[1][i], w2 = word[2][i], w3 = word[3][i];
    auto key0 = static_cast<std::uint32_t>(key.value);
    auto key1 = static_cast<std::uint32_t>(key.value >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const auto p0 = std::uint64_t{0xd2511f53} * w0;
      const auto p1 = std::uint64_t{0xcd9e8d57} * w2;
      w0 = static_cast<std::uint32_t>(p1 >> 32) ^ w1 ^ key0;
      w1 = static_cast<std::uint32_t>(p1);
      w2 = static_cast<std::uint32_t>(p0 >> 32) ^ w3 ^ key1;
      w3 = static_cast<std::uint32_t>(p0);
      key0 += 0x9e3779b9;
      key1 += 0xbb67ae85;
    }
    word[0][i] = w0, word[1][i] = w1, word[2][i] = w2, word[3][i] = w3;
  }
}

/// The same factors from 16 counters at once; `first` is a multiple of 4.
template <class A>
void dropout_factors(A* factors, std::int64_t count, std::int64_t first, double keep,
                     random::Key key) {
  constexpr int lanes = 16;
  // uniform(key, i) < keep, in integers: a uniform is a multiple of 2^-24
  const auto below = static_cast<std::uint32_t>(std::ceil(keep * 0x1p24));
  const A kept = keep > 0 ? static_cast<A>(1 / keep) : A(0);
  for (std::int64_t begin = 0; begin < count; begin += 4 * lanes) {
    std::uint32_t word[4][lanes] = {};
    const auto counter = static_cast<std::uint64_t>(first + begin) / 4;
    for (int i = 0; i < lanes; ++i) {
      word[0][i] = static_cast<std::uint32_t>(counter + i);
      word[1][i] = static_cast<std::uint32_t>((counter + i) >> 32);
    }
    philox(key, word);
    A chosen[4 * lanes];
    for (int i = 0; i < lanes; ++i) {
      for (int q = 0; q < 4; ++q) chosen[4 * i + q] = word[q][i] >> 8 < below ? kept : A(0);
    }
    std::copy_n(chosen, std::min<std::int64_t>(4 * lanes, count - begin), factors + begin);
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
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      detail::multiply(y.data() + row * c, store, x.data() + row * c,
                       factors.data() + row / pixels * c, c);
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
