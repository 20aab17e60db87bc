#pragma once

#include <tinynet/kernels/depthwise_conv2d/contract.hpp>
#include <tinynet/kernels/depthwise_conv2d/rows.hpp>

/// Which pixels of x and dy meet in which tap of a depthwise convolution. With a stride, s neighbouring pixels
/// of x are taken for one with s times the channels, in rows that have the same remainder modulo s: each of
/// those is a convolution of stride 1, whose band repeats the pixels of dy.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

constexpr std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

/// Along one axis: pixel s * q + phase of x meets pixel q + shift of dy in tap `tap(phase, shift)`.
struct GradientAxis {
  std::int64_t stride, padding, dilation, taps;

  /// Negative: in none.
  std::int64_t tap(std::int64_t phase, std::int64_t shift) const {
    const auto distance = phase + padding - stride * shift;
    const bool meets = distance >= 0 && distance % dilation == 0 && distance / dilation < taps;
    return meets ? distance / dilation : -1;
  }
  std::int64_t first_shift() const {
    return -floor_divide((taps - 1) * dilation - padding, stride);
  }
  std::int64_t last_shift() const { return floor_divide(stride - 1 + padding, stride); }
};

/// What is the same for all images. Phases and remainders that no pixel has are left out.
struct GradientPlan {
  GradientAxis rows, cols;
  std::int64_t phases, remainders;  // of columns and rows modulo s
  std::int64_t c;                   // phases times the channels
  BandShape band;
  Slice<Taps> taps;                 // of the rows of x of each remainder
  Slice<std::int64_t> window_rows;  // [taps of all remainders]: kh
  Slice<std::int64_t> shifts;       // and the shift of its column
  std::int64_t all_taps = 0;

  GradientPlan(Scratch& scratch, const Conv2dGeometry& g)
      : rows{g.stride, g.padding, g.dilation, g.kh},
        cols{g.stride, g.padding, g.dilation, g.kw},
        phases(std::min(g.stride, g.w)),
        remainders(std::min(g.stride, g.h)),
        c(phases * g.ic),
        taps(scratch.list<Taps>(remainders)) {
    const auto columns = scratch.list<std::int64_t>(g.kw);  // the shifts that any phase has
    const auto count = static_cast<std::int64_t>(find_shifts(columns));
    const auto place = shape_band(scratch, columns.first(count), g);
    window_rows = scratch.list<std::int64_t>(g.kh * count);
    shifts = scratch.list<std::int64_t>(g.kh * count);
    const auto room = round_up(g.kh * count, WeightSums<float>::group);
    for (std::int64_t a = 0; a < remainders; ++a) {
      auto* const offsets = scratch.take<std::int64_t>(room).data();
      auto* const weight_of = scratch.take<std::int64_t>(room).data();
      std::int64_t n = 0;
      for (auto row = rows.first_shift(); row <= rows.last_shift(); ++row) {
        const auto kh = rows.tap(a, row);
        for (std::int64_t k = 0; kh >= 0 && k < count; ++k, ++n, ++all_taps) {
          const auto column = g.stride == 1 ? columns[k] - cols.first_shift() : k;
          offsets[n] = (row - rows.first_shift()) * band.row_size() + column * place;
          weight_of[n] = all_taps;
          window_rows[all_taps] = kh;
          shifts[all_taps] = columns[k];
        }
      }
      std::fill(offsets + n, offsets + room, n > 0 ? offsets[n - 1] : 0);
      Window window;
      if (g.dilation == 1 && n > 0) {
        window = {static_cast<int>(n / count), static_cast<int>(count), 1};
      }
      taps[a] = {offsets, weight_of, n, window};
    }
  }

  /// Calls f(lane, its weight's place in w[c, kh, kw]) for the lanes of tap t that have one.
  template <class F>
  void for_weights(std::int64_t t, F&& f) const {
    const auto channels = c / phases;
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      const auto kw = cols.tap(phase, shifts[t]);
      for (std::int64_t i = 0; kw >= 0 && i < channels; ++i) {
        f(phase * channels + i, (i * rows.taps + window_rows[t]) * cols.taps + kw);
      }
    }
  }

 private:
  std::size_t find_shifts(Slice<std::int64_t> found) const {
    std::size_t count = 0;
    for (auto shift = cols.first_shift(); shift <= cols.last_shift(); ++shift) {
      bool any = false;
      for (std::int64_t phase = 0; phase < phases; ++phase) any |= cols.tap(phase, shift) >= 0;
      if (any) found[count++] = shift;
    }
    return count;
  }

  /// Sets `band` and returns the elements from a column to the next. With a stride each shift has a place of
  /// its own, with zeros where a phase has no tap: times a weight of zero an infinity would spread.
  std::int64_t shape_band(Scratch& scratch, Slice<std::int64_t> columns, const Conv2dGeometry& g) {
    band.c = g.ic;
    if (g.stride == 1) {
      band.left = -cols.first_shift();
      band.cols = g.w + cols.last_shift() - cols.first_shift();
      return g.ic;
    }
    band.cols = static_cast<std::int64_t>(columns.size()) * g.w;
    auto* const sources = scratch.take<std::int64_t>(band.cols).data();
    for (std::int64_t i = 0; i < band.cols; ++i) {
      const auto shift = columns[i / g.w], pixel = i % g.w, column = pixel / g.stride + shift;
      sources[i] = cols.tap(pixel % g.stride, shift) >= 0 && column < g.ow ? column : -1;
    }
    band.sources = sources;
    return g.w * g.ic;
  }
};

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
