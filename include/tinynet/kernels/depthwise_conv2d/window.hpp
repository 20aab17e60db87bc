#pragma once

#include <numeric>

#include <tinynet/core/cache.hpp>
#include <tinynet/kernels/depthwise_conv2d/band.hpp>

/// Windows of a few adjacent taps: four rows of results at once, each vector of the band loaded once for
/// all taps that read it, weights and the sums of their gradients in registers.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

/// rows x cols taps, those of a column in neighbouring rows of the band; the next row of results reads `stride`
/// rows further down. Without rows: any taps.
struct Window {
  int rows = 0, cols = 0, stride = 1;

  bool operator==(const Window&) const = default;
};

/// Rows of results that are computed together.
inline constexpr std::int64_t together = 4;

/// What a window reads.
template <class X>
struct WindowRows {
  const X* columns[3];  // where the upper row of each column begins
  std::int64_t step;    // to the next row of the band
  std::int64_t size;    // elements of a row of results
  std::int64_t c;
};

// What is done with the vectors of a band that four rows of results read, all of it at once: Results, Products
// and Ahead. run_window() calls
//
//     open(place, channel)   before the vectors that begin at one channel, the place-th of those
//     begin(i, lanes)        before the vectors behind element i of the results
//     add(v, row, tap)       for every vector of the band and what it is for
//     end(i, lanes), close()

/// Sums over the taps, as correlate() has them.
template <Window window, class T, class X>
struct Results {
  static constexpr int taps = window.rows * window.cols;

  T* to;
  std::int64_t to_step;
  Store store;
  const std::int64_t* weight_of;
  WeightRows<X> weights, bias;
  simd::batch<X> w[taps] = {}, start = {}, sums[together] = {};

  [[gnu::always_inline]] void open(std::int64_t, std::int64_t channel) {
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) {
      w[t] = simd::load(weights.data + weight_of[t] * weights.step + channel);
    }
    start = simd::load(bias.data + channel);
  }
  template <class Lanes>
  [[gnu::always_inline]] void begin(std::int64_t, Lanes) {
#pragma GCC unroll 4
    for (auto& sum : sums) sum = start;
  }
  [[gnu::always_inline]] void add(const simd::batch<X>& v, int row, int tap) {
    sums[row] = simd::fma(w[tap], v, sums[row]);
  }
  template <class Lanes>
  [[gnu::always_inline]] void end(std::int64_t i, Lanes lanes) {
#pragma GCC unroll 4
    for (int row = 0; row < together; ++row) put(to + row * to_step + i, sums[row], store, lanes);
  }
  void close() {}
};

/// sums[place][tap] += products of rows of d with what the tap reads.
template <Window window, class D, class X>
struct Products {
  static constexpr int taps = window.rows * window.cols;

  X* sums;
  std::int64_t place_step;  // elements from place to place
  const D* d;
  std::int64_t d_step;
  X* kept = nullptr;
  simd::batch<X> totals[taps] = {}, factors[together] = {};

  [[gnu::always_inline]] void open(std::int64_t place, std::int64_t) {
    kept = sums + place * place_step;
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) totals[t] = simd::load(kept + t * simd::width<X>);
  }
  template <class Lanes>
  [[gnu::always_inline]] void begin(std::int64_t i, Lanes lanes) {
#pragma GCC unroll 4
    for (int row = 0; row < together; ++row) factors[row] = lanes.load(d + row * d_step + i);
  }
  [[gnu::always_inline]] void add(const simd::batch<X>& v, int row, int tap) {
    totals[tap] = simd::fma(factors[row], v, totals[tap]);
  }
  template <class Lanes>
  void end(std::int64_t, Lanes) {}
  [[gnu::always_inline]] void close() {
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) simd::store(kept + t * simd::width<X>, totals[t]);
  }
};

/// Memory that is used from one end to the other, `bytes` of it with each vector of four rows.
struct Stream {
  const std::byte* at = nullptr;
  std::int64_t bytes = 0;

  Stream() = default;
  Stream(const void* begin, std::int64_t each)
      : at(static_cast<const std::byte*>(begin)), bytes(each) {}

  template <Access access>
  [[gnu::always_inline]] void ask() {
    prefetch<access>(at, bytes);
    at += bytes;
  }
};

/// Asks memory, while results are computed, for what the next rows read and write: else nobody would between two
/// copies of rows into the band. From memory a pass takes half of the time.
struct Ahead {
  Stream read = {}, read_too = {}, write = {};

  void open(std::int64_t, std::int64_t) {}
  template <class Lanes>
  [[gnu::always_inline]] void begin(std::int64_t, Lanes) {
    read.ask<Access::read>();
    read_too.ask<Access::read>();
    write.ask<Access::write>();
  }
  template <class V>
  void add(const V&, int, int) {}
  template <class Lanes>
  void end(std::int64_t, Lanes) {}
  void close() {}
};

/// One vector of four rows: each of the band's is loaded once for all taps that read it. Partial at the
/// end, because zero times what stands behind a row may be NaN.
template <Window window, class X, class Lanes, class... Use>
[[gnu::always_inline]] inline void for_taps(const WindowRows<X>& from, std::int64_t i, Lanes lanes,
                                            Use&... use) {
  static_assert(window.cols == 2 || window.cols == 3);
  static_assert(window.rows * window.cols <= 9 && together == 4, "unrolled so far");
  (use.begin(i, lanes), ...);
#pragma GCC unroll 3
  for (int column = 0; column < window.cols; ++column) {
    const X* x = from.columns[column] + i;
#pragma GCC unroll 9
    for (int row = 0; row < window.rows + (together - 1) * window.stride; ++row, x += from.step) {
      const auto v = simd::in_register(lanes.load(x));
#pragma GCC unroll 4
      for (int result = 0; result < together; ++result) {
        const int above = row - result * window.stride;
        if (above < 0 || above >= window.rows) continue;
        (use.add(v, result, above * window.cols + column), ...);
      }
    }
  }
  (use.end(i, lanes), ...);
}

/// Results, Products or both, of four rows. Vectors that begin at the same channel, lcm(c, width) elements
/// apart, follow each other; a row is cut where its band would leave L1.
template <Window window, class X, class... Use>
[[gnu::always_inline]] inline void run_window(const WindowRows<X>& from, Use&&... use) {
  constexpr auto width = simd::width<X>;
  const auto places = from.c / std::gcd(from.c, width), turn = places * width;
  const auto cut = std::max<std::int64_t>(4096 / std::int64_t{sizeof(X)} / turn, 1) * turn;
  for (std::int64_t begin = 0; begin < from.size; begin += cut) {
    const auto end = std::min(from.size, begin + cut);
    for (std::int64_t place = 0; place < places && begin + place * width < end; ++place) {
      (use.open(place, place * width % from.c), ...);
      auto i = begin + place * width;
      for (; i + width <= end; i += turn) for_taps<window>(from, i, FullLanes{}, use...);
      if (i < end) for_taps<window>(from, i, PartLanes{end - i}, use...);
      (use.close(), ...);
    }
  }
}

/// f<window>() of those windows that are worth a loop of their own, or false.
template <class F>
bool with_window(const Window& window, F&& f) {
  if (window == Window{3, 3, 1}) f.template operator()<Window{3, 3, 1}>();
  else if (window == Window{3, 3, 2}) f.template operator()<Window{3, 3, 2}>();
  // The gradients of 3 x 3 at stride 2.
  else if (window == Window{1, 2, 1}) f.template operator()<Window{1, 2, 1}>();
  else if (window == Window{2, 2, 1}) f.template operator()<Window{2, 2, 1}>();
  else return false;
  return true;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
