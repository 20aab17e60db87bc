#pragma once

#include <utility>

#include <tinynet/kernels/depthwise_conv2d/window.hpp>

/// The two inner loops of depthwise convolution, along the flat axis of a row.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

/// What a row of results is summed from: tap t reads the band at `offsets[t]`, and its weights are
/// row `weight_of[t]`.
struct Taps {
  const std::int64_t* offsets =
      nullptr;  // whole groups of WeightSums, the surplus repeats any other
  const std::int64_t* weight_of = nullptr;
  std::int64_t count = 0;
  Window window = {};  // its rows one after the other

  template <class X>
  WindowRows<X> rows(const X* from, std::int64_t step, std::int64_t size, std::int64_t c) const {
    return {{from + offsets[0], from + offsets[1], from + offsets[std::min(2, window.cols - 1)]},
            step / window.stride,
            size,
            c};
  }
};

/// One row of a band for each of `Row...`, `step` apart, to rows of results `to_step` apart:
///
///   to[i] = bias[i % c] + sum_t weights[t][i % c] * from[offsets[t] + i]      0 <= i < size
///
/// Several rows at once, because then a weight is loaded once for all of them.
template <class T, class X, std::size_t... Row>
void correlate_rows(std::index_sequence<Row...>, T* to, std::int64_t to_step, std::int64_t size,
                    Store store, const X* from, std::int64_t step, const Taps& taps,
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
    const auto left = size - i;
    if (left >= width) (put(to + Row * to_step + i, sums[Row], store, FullLanes{}), ...);
    else (put(to + Row * to_step + i, sums[Row], store, PartLanes{left}), ...);
    channel += turn;
    if (channel >= c) channel -= c;
  }
}

/// The same for any number of rows.
template <class T, class X>
void correlate(std::int64_t rows, T* to, std::int64_t to_step, std::int64_t size, Store store,
               const X* from, std::int64_t step, const Taps& taps, WeightRows<X> weights,
               WeightRows<X> bias, std::int64_t c, const Ahead& ahead) {
  std::int64_t row = 0;
  for (; row + together <= rows; row += together) {
    T* const some = to + row * to_step;
    const X* const x = from + row * step;
    const bool done = with_window(taps.window, [&]<Window window>() {
      run_window<window>(taps.rows(x, step, size, c),
                         Results<window, T, X>{some, to_step, store, taps.weight_of, weights, bias},
                         Ahead(ahead));
    });
    if (!done) {
      correlate_rows(std::make_index_sequence<together>(), some, to_step, size, store, x, step,
                     taps, weights, bias, c);
    }
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

  WeightSums(Scratch& scratch, std::int64_t channels, std::int64_t count)
      : c(channels),
        taps(count),
        groups(pieces(count, group)),
        period(channels / std::gcd(channels, simd::width<X>)),
        sums(scratch.take<X>(size()).data()) {
    std::fill(sums, sums + size(), X(0));
  }
  std::int64_t place_step() const { return groups * group * simd::width<X>; }
  std::int64_t size() const { return period * place_step(); }

  /// sums[t] += d[i] * from[offsets[t] + i] over rows of `row_size` elements, `d_step` and `step`
  /// apart.
  template <class D>
  void add(std::int64_t rows, const D* d, std::int64_t d_step, std::int64_t row_size, const X* from,
           std::int64_t step, const Taps& by) {
    constexpr auto width = simd::width<X>;
    for (; rows >= together; rows -= together, d += together * d_step, from += together * step) {
      const bool done = with_window(by.window, [&]<Window window>() {
        run_window<window>(by.rows(from, step, row_size, c),
                           Products<window, D, X>{sums, place_step(), d, d_step});
      });
      if (!done) break;
    }
    if (rows == 0) return;
    for (std::int64_t place = 0; place < period; ++place) {
      if (place * width >= row_size) break;
      for (std::int64_t g = 0; g < groups; ++g) {
        add_group(std::make_index_sequence<group>(),
                  sums + place * place_step() + g * group * width, rows, d, d_step, row_size,
                  place * width, from, step, by.offsets + g * group);
      }
    }
  }

  /// The sum over lanes and places of channel `of`, for tap t.
  X total(std::int64_t of, std::int64_t t) const {
    constexpr auto width = simd::width<X>;
    X sum = 0;
    for (auto i = of; i < period * width; i += c) {
      sum += sums[i / width * place_step() + t * width + i % width];
    }
    return sum;
  }

 private:
  template <class D, std::size_t... Tap>
  void add_group(std::index_sequence<Tap...>, X* kept, std::int64_t rows, const D* d,
                 std::int64_t d_step, std::int64_t row_size, std::int64_t first, const X* x,
                 std::int64_t step, const std::int64_t* offsets) {
    constexpr auto width = simd::width<X>;
    simd::batch<X> s[group];
    ((s[Tap] = simd::load(kept + Tap * width)), ...);
    for (std::int64_t row = 0; row < rows; ++row, d += d_step, x += step) {
      const X* from[group] = {x + offsets[Tap]...};
      std::int64_t i = first;
      for (; i + width <= row_size; i += period * width) {
        const auto v = simd::load(d + i);
        ((s[Tap] = simd::fma(v, simd::load(from[Tap] + i), s[Tap])), ...);
      }
      if (i < row_size) {  // both partial: zero times what stands behind the row may be NaN
        const auto left = row_size - i;
        const auto v = simd::load_partial(d + i, left);
        ((s[Tap] = simd::fma(v, simd::load_partial(from[Tap] + i, left), s[Tap])), ...);
      }
    }
    (simd::store(kept + Tap * width, s[Tap]), ...);
  }
};

/// correlate() and sums.add(), which read the same of the band: together its vectors are loaded once, 0.87 of the
/// time.
template <class T, class D, class X>
void correlate_and_add(WeightSums<X>& sums, std::int64_t rows, T* to, const D* d,
                       std::int64_t to_step, std::int64_t size, Store store, const X* from,
                       std::int64_t step, const Taps& taps, WeightRows<X> weights,
                       WeightRows<X> bias, const Ahead& ahead) {
  for (; rows >= together; rows -= together, from += together * step) {
    const bool done = with_window(taps.window, [&]<Window window>() {
      run_window<window>(taps.rows(from, step, size, sums.c),
                         Results<window, T, X>{to, to_step, store, taps.weight_of, weights, bias},
                         Products<window, D, X>{sums.sums, sums.place_step(), d, to_step},
                         Ahead(ahead));
    });
    if (!done) break;
    to += together * to_step;
    d += together * to_step;
  }
  correlate(rows, to, to_step, size, store, from, step, taps, weights, bias, sums.c, ahead);
  sums.add(rows, d, to_step, size, from, step, taps);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
