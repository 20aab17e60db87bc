#pragma once

#include <cmath>
#include <limits>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>
#include <tinynet/kernels/pool2d.hpp>

/// Max pooling, channels last.
///
///   y[n, oh, ow, c] = max_{kh, kw} x[n, oh*s - p + kh, ow*s - p + kw, c]
///
/// Padding counts as -infinity; NaN wins over every number. `argmax` [n, oh, ow, c] holds the tap
/// kh * kernel + kw of the first maximum, which is all that the gradient needs.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
void max_pool2d_forward(std::span<T> y, std::span<std::uint16_t> argmax, std::span<const T> x,
                        const Pool2dGeometry& g) {
  std::size_t out = 0;
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t oh = 0; oh < g.oh; ++oh) {
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        for (std::int64_t ch = 0; ch < g.c; ++ch, ++out) {
          accumulate_t<T> best = -std::numeric_limits<accumulate_t<T>>::infinity();
          std::int64_t tap = -1;
          for (std::int64_t kh = 0; kh < g.kernel; ++kh) {
            for (std::int64_t kw = 0; kw < g.kernel; ++kw) {
              const std::int64_t ih = oh * g.stride - g.padding + kh;
              const std::int64_t iw = ow * g.stride - g.padding + kw;
              if (ih < 0 || ih >= g.h || iw < 0 || iw >= g.w) continue;
              const accumulate_t<T> v = x[((n * g.h + ih) * g.w + iw) * g.c + ch];
              if (tap < 0 || v > best || std::isnan(v)) {
                best = v;
                tap = kh * g.kernel + kw;
              }
            }
          }
          y[out] = static_cast<T>(best);
          if (!argmax.empty()) argmax[out] = static_cast<std::uint16_t>(tap);
        }
      }
    }
  }
}

template <Scalar T>
void max_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         std::span<const std::uint16_t> argmax, const Pool2dGeometry& g) {
  using A = accumulate_t<T>;
  const std::int64_t image_size = g.h * g.w * g.c;
  Scratch scratch;
  const auto image = scratch.take<A>(image_size);
  std::size_t out = 0;
  for (std::int64_t n = 0; n < g.n; ++n) {
    std::fill(image.begin(), image.end(), A(0));
    for (std::int64_t oh = 0; oh < g.oh; ++oh) {
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        for (std::int64_t ch = 0; ch < g.c; ++ch, ++out) {
          const std::int64_t ih = oh * g.stride - g.padding + argmax[out] / g.kernel;
          const std::int64_t iw = ow * g.stride - g.padding + argmax[out] % g.kernel;
          image[(ih * g.w + iw) * g.c + ch] += dy[out];
        }
      }
    }
    for (std::int64_t i = 0; i < image_size; ++i) put(dx[n * image_size + i], image[i], store);
  }
}

}  // namespace reference

namespace vectors {

// Taps are at most 65535, so a lane of float or double holds them exactly beside the values.

/// One register of channels of one output pixel, over the taps kh x kw; x is the input under tap 0.
template <bool with_argmax, Scalar T, class Lanes>
void max_pool2d_register(T* y, std::uint16_t* argmax, const T* x, Range kh, Range kw,
                         const Pool2dGeometry& g, Lanes lanes) {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  V best(-std::numeric_limits<A>::infinity());
  V tap(static_cast<A>(kh.begin * g.kernel + kw.begin));
  for (std::int64_t i = kh.begin; i < kh.end; ++i) {
    for (std::int64_t j = kw.begin; j < kw.end; ++j) {
      const V v = lanes.load(x + (i * g.w + j) * g.c);
      const auto wins = (v > best) | !(v == v);  // xsimd 8.1 says NaN != NaN is false
      best = simd::select(wins, v, best);
      if constexpr (with_argmax) {
        tap = simd::select(wins, V(static_cast<A>(i * g.kernel + j)), tap);
      }
    }
  }
  lanes.store(y, best);
  if constexpr (with_argmax) lanes.store_integers(argmax, tap);
}

template <bool with_argmax, Scalar T>
void max_pool2d_rows(std::span<T> y, std::span<std::uint16_t> argmax, std::span<const T> x,
                     const Pool2dGeometry& g) {
  const std::int64_t row_reads = g.ow * g.c * g.kernel * g.kernel;
  parallel_ranges(g.n * g.oh, grain_rows(row_reads), [&](Range rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t n = row / g.oh, oh = row % g.oh;
      const Range kh = taps_inside(oh, g.h, g);
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        const Range kw = taps_inside(ow, g.w, g);
        const std::int64_t out = (row * g.ow + ow) * g.c;
        const std::int64_t in =
            ((n * g.h + oh * g.stride - g.padding) * g.w + ow * g.stride - g.padding) * g.c;
        for_lanes<accumulate_t<T>>(g.c, [&](std::int64_t ch, auto lanes) {
          max_pool2d_register<with_argmax>(y.data() + out + ch,
                                           with_argmax ? argmax.data() + out + ch : nullptr,
                                           x.data() + in + ch, kh, kw, g, lanes);
        });
      }
    }
  });
}

template <Scalar T>
void max_pool2d_forward(std::span<T> y, std::span<std::uint16_t> argmax, std::span<const T> x,
                        const Pool2dGeometry& g) {
  if (argmax.empty()) {
    max_pool2d_rows<false>(y, argmax, x, g);
  } else {
    max_pool2d_rows<true>(y, argmax, x, g);
  }
}

template <Scalar T>
void max_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         std::span<const std::uint16_t> argmax, const Pool2dGeometry& g) {
  using A = accumulate_t<T>;
  using V = simd::batch<A>;
  pool2d_gather(dx, store, A(1), g, [&](std::int64_t out, std::int64_t tap, auto lanes) {
    const V taps = lanes.template load_integers<A>(argmax.data() + out);
    return simd::select(taps == V(static_cast<A>(tap)), lanes.load(dy.data() + out), V(A(0)));
  });
}

}  // namespace vectors

/// y [n, oh, ow, c] from x [n, h, w, c]. `argmax` may be empty where no gradient will be asked.
/// Every window must reach into the image: padding is at most half the kernel.
template <Scalar T>
void max_pool2d_forward(std::span<T> y, std::span<std::uint16_t> argmax, std::span<const T> x,
                        const Pool2dGeometry& g) {
  simd_or_reference("max_pool2d_forward", vectors::max_pool2d_forward<T>,
                    reference::max_pool2d_forward<T>)(y, argmax, x, g);
}

/// dx [n, h, w, c]: each dy goes to the input element that was the maximum.
template <Scalar T>
void max_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         std::span<const std::uint16_t> argmax, const Pool2dGeometry& g) {
  simd_or_reference("max_pool2d_backward", vectors::max_pool2d_backward<T>,
                    reference::max_pool2d_backward<T>)(dx, store, dy, argmax, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
