#pragma once

#include <numeric>
#include <utility>

#include <tinynet/kernels/depthwise_conv2d/band.hpp>

/// The two inner loops of depthwise convolution, along the flat axis of a row.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

/// What a row of results is summed from: tap t reads the band at `offsets[t]`, and its weights are
/// row `weight_of[t]`.
template <class X>
struct Taps {
  const std::int64_t* offsets = nullptr;
  const std::int64_t* weight_of = nullptr;
  std::int64_t count = 0;
  bool three_rows = false;  // count / 3 in each of three rows of the band, upper row first
};

/// One row of a band for each of `Row...`, `step` apart, to rows of results `to_step` apart:
///
///   to[i] = bias[i % c] + sum_t weights[t][i % c] * from[offsets[t] + i]      0 <= i < size
///
/// Several rows at once, because then a weight is loaded once for all of them.
template <class T, class X, std::size_t... Row>
void correlate_rows(std::index_sequence<Row...>, T* to, std::int64_t to_step, std::int64_t size,
                    Store store, const X* from, std::int64_t step, const Taps<X>& taps,
                    WeightRows<X> weights, WeightRows<X> bias, std::int64_t c) {
  constexpr auto width = simd::width<X>;
  const auto turn = width % c;
  for (std::int64_t i = 0, channel = 0; i < size; i += width) {
    simd::batch<X> sums[sizeof...(Row)];
    ((sums[Row] = simd::load(bias.data + channel)), ...);
    for (std::int64_t t = 0; t < taps.count; ++t) {
      const auto w = simd::load(weights.data + taps.weight_of[t] * weights.step + channel);
      const X* x = from + taps.offsets[t] + i;
      ((sums[Row] = simd::fma(w, simd::load(x + Row * step), sums[Row])), ...);
    }
    (put(to + Row * to_step + i, sums[Row], size - i, store), ...);
    channel += turn;
    if (channel >= c) channel -= c;
  }
}

/// Four rows of results from six rows of a band, each read once for a column of three taps.
template <class T, class X>
void correlate_three(T* to, std::int64_t to_step, std::int64_t size, Store store, const X* from,
                     std::int64_t step, const Taps<X>& taps, WeightRows<X> weights,
                     WeightRows<X> bias, std::int64_t c) {
  using Vector = simd::batch<X>;
  constexpr auto width = simd::width<X>;
  const auto columns = taps.count / 3;
  const auto turn = width % c;
  for (std::int64_t i = 0, channel = 0; i < size; i += width) {
    Vector s0 = simd::load(bias.data + channel), s1 = s0, s2 = s0, s3 = s0;
    for (std::int64_t t = 0; t < columns; ++t) {
      const auto weight = [&](std::int64_t row) {
        return simd::load(weights.data + taps.weight_of[row * columns + t] * weights.step +
                          channel);
      };
      const auto upper = weight(0), middle = weight(1), lower = weight(2);
      const X* x = from + taps.offsets[t] + i;
      auto a = simd::load(x), b = simd::load(x + step), x2 = simd::load(x + 2 * step);
      s0 = simd::fma(upper, a, s0), s0 = simd::fma(middle, b, s0), s0 = simd::fma(lower, x2, s0);
      a = simd::load(x + 3 * step);
      s1 = simd::fma(upper, b, s1), s1 = simd::fma(middle, x2, s1), s1 = simd::fma(lower, a, s1);
      b = simd::load(x + 4 * step);
      s2 = simd::fma(upper, x2, s2), s2 = simd::fma(middle, a, s2), s2 = simd::fma(lower, b, s2);
      x2 = simd::load(x + 5 * step);
      s3 = simd::fma(upper, a, s3), s3 = simd::fma(middle, b, s3), s3 = simd::fma(lower, x2, s3);
    }
    put(to + i, s0, size - i, store);
    put(to + to_step + i, s1, size - i, store);
    put(to + 2 * to_step + i, s2, size - i, store);
    put(to + 3 * to_step + i, s3, size - i, store);
    channel += turn;
    if (channel >= c) channel -= c;
  }
}

/// The same for any number of rows.
template <class T, class X>
void correlate(std::int64_t rows, T* to, std::int64_t to_step, std::int64_t size, Store store,
               const X* from, std::int64_t step, const Taps<X>& taps, WeightRows<X> weights,
               WeightRows<X> bias, std::int64_t c) {
  std::int64_t row = 0;
  for (; taps.three_rows && row + 4 <= rows; row += 4) {
    correlate_three(to + row * to_step, to_step, size, store, from + row * step, step, taps,
                    weights, bias, c);
  }
  for (; row + 4 <= rows; row += 4) {
    correlate_rows(std::make_index_sequence<4>(), to + row * to_step, to_step, size, store,
                   from + row * step, step, taps, weights, bias, c);
  }
  for (; row < rows; ++row) {
    correlate_rows(std::make_index_sequence<1>(), to + row * to_step, to_step, size, store,
                   from + row * step, step, taps, weights, bias, c);
  }
}

/// Sums of products of two rows for each tap, kept apart by place in the vector: after
/// lcm(c, width) elements the channels return to the same lanes.
template <class X>
struct WeightSums {
  static constexpr std::int64_t group = 9;  // taps whose sums stay in registers together

  std::int64_t c, taps, groups, period;
  X* sums;  // [period, groups, group, width]

  WeightSums(Scratch& scratch, std::int64_t channels, std::int64_t window)
      : c(channels),
        taps(window),
        groups((window + group - 1) / group),
        period(channels / std::gcd(channels, simd::width<X>)),
        sums(scratch.take<X>(size()).data()) {
    std::fill(sums, sums + size(), X(0));
  }
  std::int64_t size() const { return period * groups * group * simd::width<X>; }

  /// sums[t] += dy[i] * x[offsets[t] + i] over `rows` rows of `row_size` elements. `offsets` has
  /// groups * group entries; the surplus ones repeat any other. `three_by_three`: the taps of three
  /// rows of x, one below the other, three a row.
  template <class T>
  void add(std::int64_t rows, const T* dy, std::int64_t row_size, const X* x, std::int64_t x_step,
           const std::int64_t* offsets, bool three_by_three) {
    constexpr auto width = simd::width<X>;
    for (; three_by_three && rows >= 4; rows -= 4, dy += 4 * row_size, x += 4 * x_step) {
      add_three(dy, row_size, x, x_step, offsets);
    }
    if (rows == 0) return;
    for (std::int64_t place = 0; place < period; ++place) {
      if (place * width >= row_size) break;
      for (std::int64_t g = 0; g < groups; ++g) {
        add_group(std::make_index_sequence<group>(), sums + (place * groups + g) * group * width,
                  rows, dy, row_size, place * width, x, x_step, offsets + g * group);
      }
    }
  }

  /// dw[c, taps] = the sums over lanes and places.
  void fold(X* dw) const {
    constexpr auto width = simd::width<X>;
    std::fill(dw, dw + c * taps, X(0));
    for (std::int64_t place = 0; place < period; ++place) {
      for (std::int64_t t = 0; t < taps; ++t) {
        const X* lanes = sums + (place * groups * group + t) * width;
        for (std::int64_t j = 0; j < width; ++j) {
          dw[(place * width + j) % c * taps + t] += lanes[j];
        }
      }
    }
  }

 private:
  using Vector = simd::batch<X>;

  /// For four rows of dy: every place of the period.
  template <class T>
  void add_three(const T* dy, std::int64_t row_size, const X* x, std::int64_t x_step,
                 const std::int64_t* offsets) {
    constexpr auto width = simd::width<X>;
    for (std::int64_t place = 0; place < period && place * width < row_size; ++place) {
      add_three_at(std::make_index_sequence<group>(), sums + place * group * width, dy, row_size,
                   place * width, x, x_step, offsets);
    }
  }

  template <class T, std::size_t... Tap>
  void add_three_at(std::index_sequence<Tap...>, X* kept, const T* dy, std::int64_t row_size,
                    std::int64_t first, const X* x, std::int64_t x_step,
                    const std::int64_t* offsets) {
    constexpr auto width = simd::width<X>;
    const X* from[3] = {x + offsets[0], x + offsets[1], x + offsets[2]};
    Vector s[group] = {simd::load(kept + Tap * width)...};
    std::int64_t i = first;
    for (; i + width <= row_size; i += period * width) {
      add_products(s, dy + i, row_size, from, i, x_step, FullLanes{});
    }
    if (i < row_size) {  // both partial: zero times what stands behind the row may be NaN
      add_products(s, dy + i, row_size, from, i, x_step, PartLanes{row_size - i});
    }
    (simd::store(kept + Tap * width, s[Tap]), ...);
  }

  /// Every vector of six rows of x is loaded once for its three taps.
  template <class T, class Lanes>
  [[gnu::always_inline]] static void add_products(Vector (&s)[group], const T* dy,
                                                  std::int64_t row_size, const X* const (&from)[3],
                                                  std::int64_t i, std::int64_t step, Lanes lanes) {
    const Vector d[] = {lanes.load(dy), lanes.load(dy + row_size), lanes.load(dy + 2 * row_size),
                        lanes.load(dy + 3 * row_size)};
    add_column(s[0], s[3], s[6], d, from[0] + i, step, lanes);
    add_column(s[1], s[4], s[7], d, from[1] + i, step, lanes);
    add_column(s[2], s[5], s[8], d, from[2] + i, step, lanes);
  }
  template <class Lanes>
  [[gnu::always_inline]] static void add_column(Vector& upper, Vector& middle, Vector& lower,
                                                const Vector (&d)[4], const X* x, std::int64_t step,
                                                Lanes lanes) {
    Vector v = lanes.load(x);
    upper = simd::fma(d[0], v, upper);
    v = lanes.load(x + step);
    upper = simd::fma(d[1], v, upper), middle = simd::fma(d[0], v, middle);
    v = lanes.load(x + 2 * step);
    upper = simd::fma(d[2], v, upper), middle = simd::fma(d[1], v, middle);
    lower = simd::fma(d[0], v, lower);
    v = lanes.load(x + 3 * step);
    upper = simd::fma(d[3], v, upper), middle = simd::fma(d[2], v, middle);
    lower = simd::fma(d[1], v, lower);
    v = lanes.load(x + 4 * step);
    middle = simd::fma(d[3], v, middle), lower = simd::fma(d[2], v, lower);
    v = lanes.load(x + 5 * step);
    lower = simd::fma(d[3], v, lower);
  }

  template <class T, std::size_t... Tap>
  void add_group(std::index_sequence<Tap...>, X* kept, std::int64_t rows, const T* dy,
                 std::int64_t row_size, std::int64_t first, const X* x, std::int64_t x_step,
                 const std::int64_t* offsets) {
    constexpr auto width = simd::width<X>;
    Vector s[group];
    ((s[Tap] = simd::load(kept + Tap * width)), ...);
    for (std::int64_t row = 0; row < rows; ++row, dy += row_size, x += x_step) {
      const X* from[group] = {x + offsets[Tap]...};
      std::int64_t i = first;
      for (; i + width <= row_size; i += period * width) {
        const auto d = simd::load(dy + i);
        ((s[Tap] = simd::fma(d, simd::load(from[Tap] + i), s[Tap])), ...);
      }
      if (i < row_size) {  // both partial: zero times what stands behind the row may be NaN
        const auto left = row_size - i;
        const auto d = simd::load_partial(dy + i, left);
        ((s[Tap] = simd::fma(d, simd::load_partial(from[Tap] + i, left), s[Tap])), ...);
      }
    }
    (simd::store(kept + Tap * width, s[Tap]), ...);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
