#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/depthwise_conv2d/contract.hpp>
#include <tinynet/kernels/depthwise_conv2d/rows.hpp>

/// Depthwise convolution in vectors: a unit of work copies the rows it reads into a band, zeros
/// around it, and runs along it. Each activation is read from memory once and written once.
///
/// Floor: the bytes of x and y (or dx and dy) over the bandwidth of memory. Measured on one busy
/// core with AVX-512 from a warm cache, 20 channels at 32 pixels, window 3: 6.5 cycles to copy a
/// vector of the input and 14 to compute one of the output (17 for a weight gradient), against 8
/// (bfloat16) to 16 (float) that its bytes take at 17 GB/s a core.
/// (benchmarks/kernels --benchmark_filter=depthwise)
namespace tinynet::inline TINYNET_ABI::kernels {

namespace depthwise {

/// Rows of a result that one unit computes, of `rows` rows in each of `images` images: as many as
/// keep its band within the second-level cache, fewer where that makes work for eight threads.
inline std::int64_t unit_rows(std::int64_t images, std::int64_t rows, std::int64_t row_size) {
  constexpr std::int64_t band = 1 << 15, units = 8;
  const auto fitting = std::min(rows, std::max<std::int64_t>(band / row_size, 4));
  const auto wanted = (units + images - 1) / images;
  const auto blocks = std::max((rows + fitting - 1) / fitting, std::min(wanted, (rows + 3) / 4));
  return (rows + blocks - 1) / blocks;
}

/// The band of x behind `rows` rows of y.
inline BandShape input_band(const Conv2dGeometry& g, std::int64_t rows) {
  return {.rows = (rows - 1) * g.stride + (g.kh - 1) * g.dilation + 1,
          .cols = g.ow + (g.kw - 1) * g.dilation / g.stride,
          .stride = g.stride,
          .left = g.padding,
          .c = g.ic};
}

/// True where three taps of a column read three rows, one below the other.
inline bool adjacent_three(const Conv2dGeometry& g) {
  return g.kh == 3 && g.stride == 1 && g.dilation == 1;
}

/// Rows of results that share their loads, and that follow the copy of what they read while it is in L1.
inline constexpr std::int64_t together = 4;

/// Partial sums of a weight gradient.
inline constexpr std::int64_t gradient_parts = 8;

/// A cycle and a half an element: a copy into the band, and the taps from registers.
inline Cost cost(const Conv2dGeometry& g) {
  return Cost::of_elements(g.n * g.ic * (g.h * g.w + g.oh * g.ow));
}

constexpr std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

}  // namespace depthwise

template <Scalar T>
void depthwise_forward_simd(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> w,
                            std::span<const param_t<T>> bias, InputMap map,
                            const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  if (y.empty()) return;
  const auto taps = g.kh * g.kw, row_size = g.ow * g.oc;
  Scratch scratch;
  const auto weights = repeat_weights(scratch, w, g.oc, taps);
  const auto biases = repeat_weights(scratch, bias, g.oc, 1);
  const auto offsets = scratch.take<std::int64_t>(taps),
             weight_of = scratch.take<std::int64_t>(taps);
  const auto rows = unit_rows(g.n, g.oh, input_band(g, 1).row_size() * g.stride);
  const auto full = input_band(g, rows);
  for (std::int64_t t = 0; t < taps; ++t) {
    offsets[t] = t / g.kw * g.dilation * full.row_size() + full.offset(t % g.kw * g.dilation);
    weight_of[t] = t;
  }
  const auto blocks = (g.oh + rows - 1) / rows;
  parallel_for(g.n * blocks, cost(g), [&](std::int64_t unit) {
    const auto n = unit / blocks, first = unit % blocks * rows;
    const auto count = std::min(rows, g.oh - first);
    const auto shape = input_band(g, count);
    Scratch own;
    const auto band = own.take<X>(shape.rows * shape.row_size()).data();
    BandCopy<T, X> copy{band, x.data() + n * g.h * g.w * g.ic, map,  g.h,
                        g.w,  first * g.stride - g.padding,    shape};
    for (std::int64_t row = 0; row < count; row += together) {
      const auto some = std::min(together, count - row);
      copy.up_to(input_band(g, row + some).rows);
      correlate(some, y.data() + (n * g.oh + first + row) * row_size, row_size, row_size,
                Store::overwrite, band + row * g.stride * shape.row_size(),
                g.stride * shape.row_size(),
                Taps<X>{offsets.data(), weight_of.data(), taps, adjacent_three(g)}, weights, biases,
                g.oc);
    }
  });
}

/// Row ih of dx collects the rows oh of dy with oh * s - p + kh * d = ih: with a stride, each
/// residue of (ih, iw) has taps of its own, and is a convolution of stride 1.
template <Scalar T>
void depthwise_backward_input_simd(std::span<T> dx, Store store, std::span<const T> dy,
                                   std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  if (dx.empty()) return;
  const auto s = g.stride, c = g.ic, window = g.kh * g.kw;
  Scratch scratch;
  const auto weights = repeat_weights(scratch, w, c, window);
  const auto no_bias = repeat_weights(scratch, std::span<const X>(), c, 1);

  const auto left = -floor_divide(g.padding - (g.kw - 1) * g.dilation, s);
  const auto cols = floor_divide(g.w - 1 + g.padding, s) + left + 1;
  const auto rows = std::min(g.h, unit_rows(g.n, (g.h + s - 1) / s, cols * c) * s);
  const auto blocks = (g.h + rows - 1) / rows;
  parallel_for(g.n * blocks, cost(g), [&](std::int64_t unit) {
    const auto n = unit / blocks, begin = unit % blocks * rows, end = std::min(begin + rows, g.h);
    const auto first = floor_divide(begin + g.padding - (g.kh - 1) * g.dilation, s);
    const auto last = floor_divide(end - 1 + g.padding, s);
    const BandShape shape{
        .rows = last - first + 1, .cols = cols, .stride = 1, .left = left, .c = c};
    Scratch own;
    const auto band = own.take<X>(shape.rows * shape.row_size()).data();
    copy_band(band, dy.data() + n * g.oh * g.ow * c, {}, g.oh, g.ow, first, shape);

    const auto offsets = own.take<std::int64_t>(s * window);
    const auto weight_of = own.take<std::int64_t>(s * window);
    const auto reads = own.take<Taps<X>>(s);
    const auto step = (g.w + s - 1) / s * c;
    X* dealt = s == 1 ? nullptr : own.take<X>(s * together * step).data();
    X* whole = s == 1 ? nullptr : own.take<X>(g.w * c).data();
    T* image = dx.data() + n * g.h * g.w * c;
    for (std::int64_t a = 0; a < s; ++a) {
      // Rows ih = a + s * q of this unit, from the band's row q - origin on.
      const auto q = -floor_divide(a - begin, s);
      const auto count = floor_divide(end - 1 - a, s) - q + 1;
      if (count <= 0) continue;
      for (std::int64_t b = 0; b < s; ++b) {
        std::int64_t taps = b * window;
        for (auto t = window - 1; t >= 0; --t) {  // upper rows of dy first
          const auto oh = a + g.padding - t / g.kw * g.dilation;
          const auto ow = b + g.padding - t % g.kw * g.dilation;
          if (oh % s != 0 || ow % s != 0) continue;
          offsets[taps] = (oh / s - first) * shape.row_size() + (ow / s + left) * c;
          weight_of[taps++] = t;
        }
        reads[b] = {&offsets[b * window], &weight_of[b * window], taps - b * window,
                    adjacent_three(g)};
      }
      const X* from = band + q * shape.row_size();
      if (s == 1) {
        correlate(count, image + begin * g.w * c, g.w * c, g.w * c, store, from, shape.row_size(),
                  reads[0], weights, no_bias, c);
        continue;
      }
      for (std::int64_t i = 0; i < count; i += together, from += together * shape.row_size()) {
        const auto some = std::min(together, count - i);
        for (std::int64_t b = 0; b < s; ++b) {
          correlate(some, dealt + b * together * step, step, (g.w - b + s - 1) / s * c,
                    Store::overwrite, from, shape.row_size(), reads[b], weights, no_bias, c);
        }
        for (std::int64_t r = 0; r < some; ++r) {
          X* pixel = whole;
          for (std::int64_t column = 0, at = 0; column < g.w; column += s, at += c) {
            for (std::int64_t b = 0; b < std::min(s, g.w - column); ++b, pixel += c) {
              copy_pixel(pixel, dealt + (b * together + r) * step + at, c);
            }
          }
          narrow_row(image + (a + s * (q + i + r)) * g.w * c, whole, g.w * c, store);
        }
      }
    }
  });
}

/// Images are dealt out to at most `gradient_parts`, whose sums are added in their order.
template <Scalar T>
void depthwise_backward_weight_simd(std::span<param_t<T>> dw, Store store, std::span<const T> dy,
                                    std::span<const T> x, InputMap map, const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  const auto taps = g.kh * g.kw, row_size = g.ow * g.oc, size = g.oc * taps;
  const auto images = std::max<std::int64_t>(g.n, 1);
  const auto rows = unit_rows(images, g.oh, input_band(g, 1).row_size() * g.stride);
  const auto full = input_band(g, rows);
  const auto blocks = (g.oh + rows - 1) / rows;
  const auto parts = std::min(gradient_parts, g.n * blocks);
  Scratch scratch;
  const auto partial = scratch.take<X>(std::max<std::int64_t>(parts, 1) * size);
  parallel_for(parts, cost(g), [&](std::int64_t part) {
    Scratch own;
    WeightSums<X> sums(own, g.oc, taps);
    const auto offsets = own.take<std::int64_t>(sums.groups * sums.group);
    for (std::int64_t i = 0; i < sums.groups * sums.group; ++i) {
      const auto t = std::min(i, taps - 1);
      offsets[i] = t / g.kw * g.dilation * full.row_size() + full.offset(t % g.kw * g.dilation);
    }
    const auto band = own.take<X>(full.rows * full.row_size()).data();
    for (auto unit = g.n * blocks * part / parts; unit < g.n * blocks * (part + 1) / parts;
         ++unit) {
      const auto n = unit / blocks, first = unit % blocks * rows;
      const auto count = std::min(rows, g.oh - first);
      BandCopy<T, X> copy{band, x.data() + n * g.h * g.w * g.ic, map, g.h,
                          g.w,  first * g.stride - g.padding,    full};
      for (std::int64_t row = 0; row < count; row += together) {
        const auto some = std::min(together, count - row);
        copy.up_to(input_band(g, row + some).rows);
        sums.add(some, dy.data() + (n * g.oh + first + row) * row_size, row_size,
                 band + row * g.stride * full.row_size(), g.stride * full.row_size(),
                 offsets.data(), adjacent_three(g) && g.kw == 3);
      }
    }
    sums.fold(partial.data() + part * size);
  });
  for (std::int64_t i = 0; i < size; ++i) {
    X sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) sum += partial[part * size + i];
    dw[i] = store == Store::add ? dw[i] + sum : sum;
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
