#pragma once

#include <span>

#include <tinynet/kernels/column_sums.hpp>
#include <tinynet/kernels/loops.hpp>
#include <tinynet/kernels/pool2d.hpp>

/// Average pooling, channels last. The divisor is kernel * kernel, zeros of the padding included
/// (PyTorch's count_include_pad = true); the global pool divides by the pixels of the image.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace reference {

template <Scalar T>
void avg_pool2d_forward(std::span<T> y, std::span<const T> x, const Pool2dGeometry& g) {
  std::size_t out = 0;
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t oh = 0; oh < g.oh; ++oh) {
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        for (std::int64_t ch = 0; ch < g.c; ++ch, ++out) {
          double total = 0;
          for (std::int64_t kh = 0; kh < g.kernel; ++kh) {
            for (std::int64_t kw = 0; kw < g.kernel; ++kw) {
              const std::int64_t ih = oh * g.stride - g.padding + kh;
              const std::int64_t iw = ow * g.stride - g.padding + kw;
              if (ih < 0 || ih >= g.h || iw < 0 || iw >= g.w) continue;
              total += x[((n * g.h + ih) * g.w + iw) * g.c + ch];
            }
          }
          y[out] = static_cast<T>(total / double(g.kernel * g.kernel));
        }
      }
    }
  }
}

template <Scalar T>
void avg_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         const Pool2dGeometry& g) {
  using A = accumulate_t<T>;
  const std::int64_t image_size = g.h * g.w * g.c;
  Scratch scratch;
  const auto image = scratch.take<double>(image_size);
  std::size_t out = 0;
  for (std::int64_t n = 0; n < g.n; ++n) {
    std::fill(image.begin(), image.end(), 0.0);
    for (std::int64_t oh = 0; oh < g.oh; ++oh) {
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        for (std::int64_t ch = 0; ch < g.c; ++ch, ++out) {
          for (std::int64_t kh = 0; kh < g.kernel; ++kh) {
            for (std::int64_t kw = 0; kw < g.kernel; ++kw) {
              const std::int64_t ih = oh * g.stride - g.padding + kh;
              const std::int64_t iw = ow * g.stride - g.padding + kw;
              if (ih < 0 || ih >= g.h || iw < 0 || iw >= g.w) continue;
              image[(ih * g.w + iw) * g.c + ch] += dy[out] / double(g.kernel * g.kernel);
            }
          }
        }
      }
    }
    for (std::int64_t i = 0; i < image_size; ++i) {
      put(dx[n * image_size + i], static_cast<A>(image[i]), store);
    }
  }
}

template <Scalar T, Scalar U = T>
void global_average_pool_forward(std::span<std::type_identity_t<U>> y, std::span<const T> x,
                                 std::int64_t pixels, std::int64_t c) {
  for (std::int64_t out = 0; out < std::ssize(y); ++out) {
    const std::int64_t n = out / c, ch = out % c;
    double total = 0;
    for (std::int64_t p = 0; p < pixels; ++p) total += x[(n * pixels + p) * c + ch];
    y[out] = static_cast<U>(total / double(pixels));
  }
}

template <Scalar T>
void global_average_pool_backward(std::span<T> dx, Store store, std::span<const T> dy,
                                  std::int64_t pixels, std::int64_t c) {
  for (std::int64_t i = 0; i < std::ssize(dx); ++i) {
    const std::int64_t n = i / (pixels * c), ch = i % c;
    put(dx[i], static_cast<accumulate_t<T>>(dy[n * c + ch] / double(pixels)), store);
  }
}

}  // namespace reference

namespace vectors {

template <Scalar T>
void avg_pool2d_forward(std::span<T> y, std::span<const T> x, const Pool2dGeometry& g) {
  using A = accumulate_t<T>;
  const A scale = A(1) / static_cast<A>(g.kernel * g.kernel);
  const std::int64_t row_reads = g.ow * g.c * g.kernel * g.kernel;
  parallel_ranges(g.n * g.oh, grain_rows(row_reads), [&](Range rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t n = row / g.oh, oh = row % g.oh;
      const Range kh = taps_inside(oh, g.h, g);
      for (std::int64_t ow = 0; ow < g.ow; ++ow) {
        const Range kw = taps_inside(ow, g.w, g);
        const std::int64_t in =
            ((n * g.h + oh * g.stride - g.padding) * g.w + ow * g.stride - g.padding) * g.c;
        for_lanes<A>(g.c, [&](std::int64_t ch, auto lanes) {
          simd::batch<A> total(A(0));
          for (std::int64_t i = kh.begin; i < kh.end; ++i) {
            for (std::int64_t j = kw.begin; j < kw.end; ++j) {
              total += lanes.load(x.data() + in + (i * g.w + j) * g.c + ch);
            }
          }
          lanes.store(y.data() + (row * g.ow + ow) * g.c + ch, total * scale);
        });
      }
    }
  });
}

template <Scalar T>
void avg_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         const Pool2dGeometry& g) {
  using A = accumulate_t<T>;
  const A scale = A(1) / static_cast<A>(g.kernel * g.kernel);
  pool2d_gather(dx, store, scale, g, [&](std::int64_t out, std::int64_t, auto lanes) {
    return lanes.load(dy.data() + out);
  });
}

template <Scalar T, Scalar U = T>
void global_average_pool_forward(std::span<std::type_identity_t<U>> y, std::span<const T> x,
                                 std::int64_t pixels, std::int64_t c) {
  using A = accumulate_t<T>;
  const A scale = A(1) / static_cast<A>(pixels);
  parallel_ranges(std::ssize(y) / c, grain_rows(pixels * c), [&](Range images) {
    Scratch scratch;
    A* total = scratch.take<A>(c).data();
    for (std::int64_t n = images.begin; n < images.end; ++n) {
      const T* image = x.data() + n * pixels * c;
      column_sums<A, 1>({total}, {0, pixels}, c,
                        [&](std::int64_t pixel, std::int64_t ch, auto lanes) {
                          return std::array{lanes.load(image + pixel * c + ch)};
                        });
      for_lanes<A>(c, [&](std::int64_t ch, auto lanes) {
        lanes.store(y.data() + n * c + ch, lanes.load(total + ch) * scale);
      });
    }
  });
}

template <Scalar T>
void global_average_pool_backward(std::span<T> dx, Store store, std::span<const T> dy,
                                  std::int64_t pixels, std::int64_t c) {
  using A = accumulate_t<T>;
  const A scale = A(1) / static_cast<A>(pixels);
  parallel_ranges(std::ssize(dx) / c, grain_rows(c), [&](Range rows) {
    while (rows.begin < rows.end) {  // an image at a time: one division for all of its rows
      const std::int64_t image = rows.begin / pixels,
                         end = std::min(rows.end, (image + 1) * pixels);
      const T* gradient = dy.data() + image * c;
      for (std::int64_t row = rows.begin; row < end; ++row) {
        for_lanes<A>(c, [&](std::int64_t ch, auto lanes) {
          put(dx.data() + row * c + ch, lanes.load(gradient + ch) * scale, store, lanes);
        });
      }
      rows.begin = end;
    }
  });
}

}  // namespace vectors

/// y [n, oh, ow, c] = mean of each window of x [n, h, w, c].
template <Scalar T>
void avg_pool2d_forward(std::span<T> y, std::span<const T> x, const Pool2dGeometry& g) {
  simd_or_reference("avg_pool2d_forward", vectors::avg_pool2d_forward<T>,
                    reference::avg_pool2d_forward<T>)(y, x, g);
}

/// dx [n, h, w, c]: the sum of dy over the windows that cover a pixel, divided by kernel * kernel.
template <Scalar T>
void avg_pool2d_backward(std::span<T> dx, Store store, std::span<const T> dy,
                         const Pool2dGeometry& g) {
  simd_or_reference("avg_pool2d_backward", vectors::avg_pool2d_backward<T>,
                    reference::avg_pool2d_backward<T>)(dx, store, dy, g);
}

/// y [n, c] = mean over the pixels of x [n, pixels, c], stored as T or wider.
template <Scalar T, Scalar U = T>
void global_average_pool_forward(std::span<std::type_identity_t<U>> y, std::span<const T> x,
                                 std::int64_t pixels, std::int64_t c) {
  simd_or_reference("global_average_pool_forward", vectors::global_average_pool_forward<T, U>,
                    reference::global_average_pool_forward<T, U>)(y, x, pixels, c);
}

/// dx [n, pixels, c] = dy [n, c] / pixels.
template <Scalar T>
void global_average_pool_backward(std::span<T> dx, Store store, std::span<const T> dy,
                                  std::int64_t pixels, std::int64_t c) {
  simd_or_reference("global_average_pool_backward", vectors::global_average_pool_backward<T>,
                    reference::global_average_pool_backward<T>)(dx, store, dy, pixels, c);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
