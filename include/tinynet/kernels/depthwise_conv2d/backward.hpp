#pragma once

#include <tinynet/kernels/depthwise_conv2d/simd.hpp>

/// Both gradients at once. At stride 1 they are sums over the same rows of dy:
///
///   dx[ih, iw] = sum_{kh, kw} dy[ih + p - kh*d, iw + p - kw*d] * w[kh, kw]
///   dw[kh, kw] = sum_{ih, iw} dy[ih + p - kh*d, iw + p - kw*d] * x[ih, iw]
///
/// so dy is read and widened once, into the band of the input gradient, and x where it lies, or some rows of
/// its map at a time.
namespace tinynet::inline TINYNET_ABI::kernels {

inline const char* refuses_depthwise_backward_simd(const Conv2dGeometry& g) {
  return g.stride == 1 ? nullptr : "at a stride the gradients read different pixels";
}

/// Images are dealt out to parts as for the weight gradient.
template <Scalar T>
void depthwise_backward_simd(std::span<T> dx, Store dx_store, std::span<param_t<T>> dw,
                             Store dw_store, std::span<const T> dy, std::span<const T> x,
                             InputMap map, std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  const auto c = g.ic, taps = g.kh * g.kw, row_size = g.w * c;
  Scratch scratch;
  const auto weights = repeat_weights(scratch, w, c, taps);
  const auto no_bias = repeat_weights(scratch, std::span<const X>(), c, 1);
  const auto reach = (g.kh - 1) * g.dilation;  // rows of dy before the first that a row of dx reads
  const BandShape one{.rows = 1 + reach,
                      .cols = g.w + (g.kw - 1) * g.dilation,
                      .left = (g.kw - 1) * g.dilation - g.padding,
                      .c = c};
  const auto rows = unit_rows(std::max<std::int64_t>(g.n, 1), g.h, one.row_size());
  const auto blocks = (g.h + rows - 1) / rows, units = g.n * blocks;
  const auto parts = std::min(gradient_parts, units);
  const auto partial = scratch.take<X>(parts * c * taps);
  parallel_for(parts, cost(g), [&](std::int64_t part) {
    Scratch own;
    WeightSums<X> sums(own, c, taps);
    // In the order of the band, which is that of the window from its end.
    const auto offsets = own.take<std::int64_t>(sums.groups * sums.group);
    const auto weight_of = own.take<std::int64_t>(taps);
    for (std::int64_t i = 0; i < sums.groups * sums.group; ++i) {
      const auto t = std::min(i, taps - 1);
      offsets[i] = t / g.kw * g.dilation * one.row_size() + t % g.kw * g.dilation * c;
    }
    for (std::int64_t t = 0; t < taps; ++t) weight_of[t] = taps - 1 - t;
    const Taps<X> reads{offsets.data(), weight_of.data(), taps, adjacent_three(g)};
    auto* const band = own.take<X>((rows + reach) * one.row_size()).data();
    auto* const mapped = map ? own.take<X>(together * row_size).data() : nullptr;
    for (auto unit = units * part / parts; unit < units * (part + 1) / parts; ++unit) {
      const auto n = unit / blocks, begin = unit % blocks * rows, end = std::min(begin + rows, g.h);
      BandCopy<T, X> copy{band, dy.data() + n * g.oh * g.ow * c, {}, g.oh,
                          g.ow, begin + g.padding - reach,       one};
      for (auto row = begin; row < end; row += together) {
        const auto some = std::min(together, end - row);
        copy.up_to(row - begin + some + reach);
        const auto at = (n * g.h + row) * row_size;
        const auto* from = band + (row - begin) * one.row_size();
        correlate(some, dx.data() + at, row_size, row_size, dx_store, from, one.row_size(), reads,
                  weights, no_bias, c);
        const auto add = [&](const auto* inputs) {
          sums.add(some, inputs, row_size, from, one.row_size(), offsets.data(),
                   adjacent_three(g) && g.kw == 3);
        };
        if (!map) {
          add(x.data() + at);
          continue;
        }
        map.unrounded(mapped, x.data() + at, some * g.w);
        add(mapped);
      }
    }
    sums.fold(partial.data() + part * c * taps);
  });
  for (std::int64_t i = 0; i < c * taps; ++i) {
    const auto from = i / taps * taps + taps - 1 - i % taps;
    X sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * c * taps + from];
    put(dw[i], sum, dw_store);
  }
}

/// The two by themselves.
template <Scalar T, auto input, auto weight>
void depthwise_backward_apart(std::span<T> dx, Store dx_store, std::span<param_t<T>> dw,
                              Store dw_store, std::span<const T> dy, std::span<const T> x,
                              InputMap map, std::span<const param_t<T>> w,
                              const Conv2dGeometry& g) {
  input(dx, dx_store, dy, w, g);
  weight(dw, dw_store, dy, x, map, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
