#pragma once

#include <utility>

#include <tinynet/kernels/depthwise_conv2d/window.hpp>

/// The two inner loops of depthwise convolution, along the flat axis of a row.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

/// What a row of results is summed from: tap t reads the band at `offsets[t]`, and its weights are
/// row `weight_of[t]`. WeightSums wants whole groups of offsets, the surplus repeating any other.
struct Taps {
  const std::int64_t* offsets = nullptr;
  const std::int64_t* weight_of = nullptr;
  std::int64_t count = 0;
  Window window = {};  // that they are, row by row; or none
};

/// Rows of results, `together` at most, and where their sums begin.
template <class X>
struct Rows {
  std::int64_t count, size;  // rows, and elements of each
  std::int64_t step;         // from row to row
  std::int64_t c;            // elements until the channels repeat
  const X* from;             // in the band, for the first row
  std::int64_t from_step;
  const Taps& taps;
  Ahead ahead = {};

  /// f<window>(what it reads) for `together` rows of a window that has a loop of its own; else false.
  template <class F>
  bool by_window(F&& f) const {
    return count == together && with_window(taps.window, [&]<Window window>() {
             const auto* at = taps.offsets;
             f.template operator()<window>(
                 WindowRows<X>{{from + at[0], from + at[1], from + at[window.cols - 1]},
                               from_step / window.stride,
                               size,
                               c});
           });
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

/// The same for some rows.
template <class T, class X>
void correlate(const Rows<X>& rows, T* to, Store store, WeightRows<X> weights, WeightRows<X> bias) {
  const auto& taps = rows.taps;
  const bool done = rows.by_window([&]<Window window>(const WindowRows<X>& from) {
    run_window<window>(from,
                       Results<window, T, X>{to, rows.step, store, taps.weight_of, weights, bias},
                       Ahead(rows.ahead));
  });
  if (done) return;
  if (rows.count == together) {
    return correlate_rows(std::make_index_sequence<together>(), to, rows.step, rows.size, store,
                          rows.from, rows.from_step, taps, weights, bias, rows.c);
  }
  for (std::int64_t row = 0; row < rows.count; ++row) {
    correlate_rows(std::make_index_sequence<1>(), to + row * rows.step, rows.step, rows.size, store,
                   rows.from + row * rows.from_step, rows.from_step, taps, weights, bias, rows.c);
  }
}

/// Sums of products of two rows for each tap, kept apart by place in the vector: after
/// lcm(c, width) elements the channels return to the same lanes.
template <class X>
struct WeightSums {
  static constexpr std::int64_t group = 9;  // taps whose sums stay in registers together

  std::int64_t c, taps, groups, period;
  X* sums;  // [period, groups, group, width]

  WeightSums(Scratch& scratch, std::int64_t channels, std::int64_t row_size, std::int64_t count)
      : c(channels),
        taps(count),
        groups(pieces(count, group)),
        period(std::min(channels / std::gcd(channels, simd::width<X>),
                        pieces(row_size, simd::width<X>))),
        sums(scratch.take<X>(size()).data()) {
    std::fill(sums, sums + size(), X(0));
  }
  std::int64_t place_step() const { return groups * group * simd::width<X>; }
  std::int64_t size() const { return period * place_step(); }

  /// sums[t] += d[i] * from[offsets[t] + i] over some rows.
  template <class D>
  void add(const Rows<X>& rows, const D* d) {
    constexpr auto width = simd::width<X>;
    const bool done = rows.by_window([&]<Window window>(const WindowRows<X>& from) {
      run_window<window>(from, Products<window, D, X>{sums, place_step(), d, rows.step},
                         Ahead(rows.ahead));
    });
    if (done) return;
    for (std::int64_t place = 0; place < period; ++place) {
      for (std::int64_t g = 0; g < groups; ++g) {
        add_group(std::make_index_sequence<group>(),
                  sums + place * place_step() + g * group * width, rows, d, place * width,
                  rows.taps.offsets + g * group);
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
  void add_group(std::index_sequence<Tap...>, X* kept, const Rows<X>& rows, const D* d,
                 std::int64_t first, const std::int64_t* offsets) {
    constexpr auto width = simd::width<X>;
    simd::batch<X> s[group];
    ((s[Tap] = simd::load(kept + Tap * width)), ...);
    const X* x = rows.from;
    for (std::int64_t row = 0; row < rows.count; ++row, d += rows.step, x += rows.from_step) {
      const X* from[group] = {x + offsets[Tap]...};
      std::int64_t i = first;
      for (; i + width <= rows.size; i += period * width) {
        const auto v = simd::load(d + i);
        ((s[Tap] = simd::fma(v, simd::load(from[Tap] + i), s[Tap])), ...);
      }
      if (i < rows.size) {  // both partial: zero times what stands behind the row may be NaN
        const auto left = rows.size - i;
        const auto v = simd::load_partial(d + i, left);
        ((s[Tap] = simd::fma(v, simd::load_partial(from[Tap] + i, left), s[Tap])), ...);
      }
    }
    (simd::store(kept + Tap * width, s[Tap]), ...);
  }
};

/// correlate() to `to` and sums.add() of d, which read the same of the band: together its vectors are loaded once,
/// 0.87 of the time.
template <class T, class D, class X>
void correlate_and_add(WeightSums<X>& sums, const Rows<X>& rows, T* to, Store store, const D* d,
                       WeightRows<X> weights, WeightRows<X> bias) {
  const bool done = rows.by_window([&]<Window window>(const WindowRows<X>& from) {
    run_window<window>(
        from, Results<window, T, X>{to, rows.step, store, rows.taps.weight_of, weights, bias},
        Products<window, D, X>{sums.sums, sums.place_step(), d, rows.step}, Ahead(rows.ahead));
  });
  if (done) return;
  correlate(rows, to, store, weights, bias);
  sums.add(rows, d);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
