#pragma once

#include <tinynet/kernels/depthwise_conv2d/gradient_plan.hpp>
#include <tinynet/kernels/depthwise_conv2d/simd.hpp>

/// The gradients of depthwise convolution, both at once or one of them. They are sums over the same
/// pixels of dy:
///
///   dx[ih, iw] = sum_{kh, kw} dy[oh, ow] * w[kh, kw]     where oh * s + kh * d - p = ih
///   dw[kh, kw] = sum_{ih, iw} dy[oh, ow] * x[ih, iw]     and ow * s + kw * d - p = iw
///
/// so dy is read and widened once, into the band, and x where it lies, or some rows of its map at a time. There
/// x meets the zeros around dy too: an infinity of it may make sums of its channel NaN that it has no part in.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace depthwise {

/// Partial sums of a weight gradient.
inline constexpr std::int64_t gradient_parts = 8;

template <Scalar T>
struct GradientPass {
  using X = accumulate_t<T>;

  const Conv2dGeometry& g;
  const GradientPlan& plan;
  std::span<T> dx;  // empty: not wanted
  Store store;
  bool sums_wanted;
  std::span<const T> dy, x;
  InputMap map;
  WeightRows<X> weights, no_bias;

  std::int64_t row_size() const { return g.w * g.ic; }
  std::int64_t q_rows() const { return pieces(g.h, g.stride); }  // of each remainder
  std::int64_t reach() const { return plan.rows.last_shift() - plan.rows.first_shift(); }

  /// Rows [begin, end) of each remainder of an image.
  void image_rows(Band<T, X>& band, X* mapped, WeightSums<X>* sums, std::int64_t n,
                  std::int64_t begin, std::int64_t end) const {
    const auto s = g.stride;
    band.begin(dy.data() + n * g.oh * g.ow * g.ic);
    for (auto q = begin; q < end; q += together) {
      const auto some = std::min(together, end - q), left = g.h - q * s;
      const auto* from = band.rows(q + plan.rows.first_shift(), some + reach());
      const auto at = (n * g.h + q * s) * row_size();
      if (mapped) map.unrounded(mapped, x.data() + at, std::min(some * s, left) * g.w);
      for (std::int64_t a = 0; a < std::min(s, left); ++a) {
        const auto first = at + a * row_size();
        const Rows<X> rows{.count = std::min(some, pieces(g.h - a, s) - q),
                           .size = row_size(),
                           .step = s * row_size(),
                           .c = plan.c,
                           .from = from,
                           .from_step = plan.band.row_size(),
                           .taps = plan.taps[a],
                           .ahead = next_rows(band, at + some * s * row_size(), a)};
        if (!sums_wanted) correlate(rows, dx.data() + first, store, weights, no_bias);
        else if (mapped) gradients(rows, first, mapped + a * row_size(), sums[a]);
        else gradients(rows, first, x.data() + first, sums[a]);
      }
    }
  }

 private:
  /// Of rows of dx from element `first` on, and of those of x, or of its map.
  template <class D>
  void gradients(const Rows<X>& rows, std::int64_t first, const D* inputs,
                 WeightSums<X>& sums) const {
    if (dx.empty()) sums.add(rows, inputs);
    else correlate_and_add(sums, rows, dx.data() + first, store, inputs, weights, no_bias);
  }

  /// What each remainder asks for of the rows behind element `next`: its share.
  Ahead next_rows(const Band<T, X>& band, std::int64_t next, std::int64_t a) const {
    constexpr std::int64_t bytes = together * simd::width<X> * sizeof(T);
    const auto share = a * together * row_size(), pixels_of_one = g.stride * g.stride;  // of dy
    Ahead ahead;
    ahead.read = {band.next_row() + share / pixels_of_one, pieces(bytes, pixels_of_one)};
    if (sums_wanted) ahead.read_too = {x.data() + next + share, bytes};
    if (!dx.empty()) ahead.write = {dx.data() + next + share, bytes};
    return ahead;
  }
};

}  // namespace depthwise

/// Where `dx` or `dw` has no elements it is not wanted, nor what it is made from.
template <Scalar T>
void depthwise_backward_simd(std::span<T> dx, Store dx_store, std::span<param_t<T>> dw,
                             Store dw_store, std::span<const T> dy, std::span<const T> x,
                             InputMap map, std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  Scratch scratch;
  const GradientPlan plan(scratch, g);
  const auto weights = weight_rows<X>(scratch, plan.all_taps, plan.c, [&](auto t, X* row) {
    if (!w.empty()) plan.for_weights(t, [&](auto lane, auto at) { row[lane] = w[at]; });
  });
  const auto no_bias = weight_rows<X>(scratch, 1, plan.c, [](auto, X*) {});
  const GradientPass<T> pass{g, plan, dx, dx_store, !dw.empty(), dy, x, map, weights, no_bias};
  const auto rows = unit_rows(g.n, pass.q_rows(), plan.band.row_size());
  const auto blocks = pieces(pass.q_rows(), rows), units = g.n * blocks;
  const auto parts = std::min(gradient_parts, units), size = std::ssize(dw);
  auto* const partial = scratch.take<X>(parts * size).data();
  parallel_for(parts, cost(g), [&](std::int64_t part) {
    Scratch own;
    Band<T, X> band(own, plan.band, together + pass.reach(), {}, g.oh, g.ow);
    List<WeightSums<X>> sums;  // of each remainder
    X* mapped = nullptr;
    if (size > 0) {
      for (const auto& taps : plan.taps) {
        sums.push_back(WeightSums<X>(own, plan.c, pass.row_size(), taps.count));
      }
      if (map) mapped = own.take<X>(std::min(together * g.stride, g.h) * pass.row_size()).data();
    }
    for (auto unit = units * part / parts; unit < units * (part + 1) / parts; ++unit) {
      const auto begin = unit % blocks * rows;
      pass.image_rows(band, mapped, sums.begin(), unit / blocks, begin,
                      std::min(begin + rows, pass.q_rows()));
    }
    X* const totals = partial + part * size;
    std::fill(totals, totals + size, X(0));
    std::int64_t t = 0;
    for (const auto& sum : sums) {
      for (std::int64_t i = 0; i < sum.taps; ++i, ++t) {
        plan.for_weights(t, [&](auto lane, auto at) { totals[at] = sum.total(lane, i); });
      }
    }
  });
  for (std::int64_t i = 0; i < size; ++i) {
    X sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * size + i];
    put(dw[i], sum, dw_store);
  }
}

template <Scalar T>
void depthwise_backward_input_simd(std::span<T> dx, Store store, std::span<const T> dy,
                                   std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  depthwise_backward_simd<T>(dx, store, {}, {}, dy, {}, {}, w, g);
}
template <Scalar T>
void depthwise_backward_weight_simd(std::span<param_t<T>> dw, Store store, std::span<const T> dy,
                                    std::span<const T> x, InputMap map, const Conv2dGeometry& g) {
  depthwise_backward_simd<T>({}, {}, dw, store, dy, x, map, {}, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
