#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tinynet/core/scratch.hpp>
#include <tinynet/core/transpose.hpp>
#include <tinynet/kernels/elementwise.hpp>
#include <tinynet/kernels/loops.hpp>

/// Kernels that move data: between channel orders, into and out of borders, between types.
namespace tinynet::inline TINYNET_ABI::kernels {

/// An image with a border of zeros around it, pixels.
struct Pad2dGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;  // the image without its border
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;

  std::int64_t padded_h() const { return h + top + bottom; }
  std::int64_t padded_w() const { return w + left + right; }
};

namespace reference {

/// dst [n, cols, rows] from src [n, rows, cols].
template <class U>
void transpose(U* dst, const U* src, std::int64_t n, std::int64_t rows, std::int64_t cols) {
  for (std::int64_t i = 0; i < n * rows * cols; ++i) {
    const std::int64_t image = i / (rows * cols), row = i / cols % rows, col = i % cols;
    dst[(image * cols + col) * rows + row] = src[i];
  }
}

template <Scalar T>
void normalise(std::span<T> y, std::span<const std::uint8_t> x, std::span<const param_t<T>> mean,
               std::span<const param_t<T>> std, std::int64_t c) {
  for (std::int64_t i = 0; i < std::ssize(x); ++i) {
    y[i] = static_cast<T>((double(x[i]) / 255 - mean[i % c]) / std[i % c]);
  }
}

}  // namespace reference

namespace vectors {

/// Sides of the squares that registers turn; 0: none for elements of this size.
template <class U>
inline constexpr std::int64_t register_side =
#if defined(__AVX512F__)
    sizeof(U) == 2 ? 16 :
#endif
    sizeof(U) == 4 ? simd::width<float> : 0;

/// to[col * to_row + row] = from[row * from_row + col] for a square of `register_side`.
template <class U>
void transpose_square(U* to, std::int64_t to_row, const U* from, std::int64_t from_row) {
  constexpr auto side = register_side<U>;
  simd::batch<float> square[side];
  for (std::int64_t i = 0; i < side; ++i) {
    if constexpr (sizeof(U) == 4) {
      square[i] = simd::load(reinterpret_cast<const float*>(from + i * from_row));
    } else {
#if defined(__AVX512F__)
      const auto* p = reinterpret_cast<const __m256i*>(from + i * from_row);
      square[i] = _mm512_castsi512_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)));
#endif
    }
  }
  simd::transpose(square);
  for (std::int64_t i = 0; i < side; ++i) {
    if constexpr (sizeof(U) == 4) {
      simd::store(reinterpret_cast<float*>(to + i * to_row), square[i]);
    } else {
#if defined(__AVX512F__)
      auto* p = reinterpret_cast<__m256i*>(to + i * to_row);
      _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(_mm512_castps_si512(square[i])));
#endif
    }
  }
}

/// The same for any rectangle: squares, and element by element what is left beside and below them.
template <class U>
void transpose_part(U* to, std::int64_t to_row, const U* from, std::int64_t from_row,
                    std::int64_t rows, std::int64_t cols) {
  std::int64_t whole_rows = 0, whole_cols = 0;
  if constexpr (constexpr auto side = register_side<U>; side > 0) {
    whole_rows = rows / side * side, whole_cols = cols / side * side;
    for (std::int64_t row = 0; row < whole_rows; row += side) {
      for (std::int64_t col = 0; col < whole_cols; col += side) {
        transpose_square(to + col * to_row + row, to_row, from + row * from_row + col, from_row);
      }
    }
  }
  const auto rest = [=](Range of_rows, Range of_cols) {
    const auto move = [=](std::int64_t row, std::int64_t col) {
      to[col * to_row + row] = from[row * from_row + col];
    };
    // The longer loop inside: of three channels it would end before it got going.
    if (of_rows.size() < of_cols.size()) {
      for (auto row = of_rows.begin; row < of_rows.end; ++row) {
        for (auto col = of_cols.begin; col < of_cols.end; ++col) move(row, col);
      }
    } else {
      for (auto col = of_cols.begin; col < of_cols.end; ++col) {
        for (auto row = of_rows.begin; row < of_rows.end; ++row) move(row, col);
      }
    }
  };
  rest({0, whole_rows}, {whole_cols, cols});
  rest({whole_rows, rows}, {0, cols});
}

/// In parts that are a cache line wide each way, so that both sides move whole lines, and longer one
/// way where the other is shorter.
template <class U>
void transpose(U* dst, const U* src, std::int64_t n, std::int64_t rows, std::int64_t cols) {
  constexpr auto line = std::max<std::int64_t>(16, 64 / static_cast<std::int64_t>(sizeof(U)));
  const auto width = rows < line ? 16 * line : line;   // columns of src, rows of dst
  const auto height = cols < line ? 16 * line : line;  // rows of src
  const std::int64_t strips = pieces(cols, width);
  parallel_ranges(n * strips, grain_rows(rows * width), [&](Range units) {
    for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
      const std::int64_t col = unit % strips * width, end_col = std::min(col + width, cols);
      const U* from = src + unit / strips * rows * cols + col;
      U* to = dst + (unit / strips * cols + col) * rows;
      for (std::int64_t row = 0; row < rows; row += height) {
        transpose_part(to + row, rows, from + row * cols, cols, std::min(height, rows - row),
                       end_col - col);
      }
    }
  });
}

/// Some registers hold a whole number of pixels: over them the channel of each lane repeats. At least
/// eight, so that a loop over one channel is not cut at every register.
template <Scalar T>
void normalise(std::span<T> y, std::span<const std::uint8_t> x, std::span<const param_t<T>> mean,
               std::span<const param_t<T>> std, std::int64_t c) {
  using A = accumulate_t<T>;
  constexpr auto w = simd::width<A>;
  const std::int64_t period = round_up(8, c) * w;
  Scratch scratch;
  A* scale = scratch.take<A>(period).data();
  A* shift = scratch.take<A>(period).data();
  for (std::int64_t i = 0; i < period; ++i) {
    scale[i] = 1 / (255 * std[i % c]);
    shift[i] = -mean[i % c] / std[i % c];
  }
  const std::int64_t periods = (std::ssize(x) + period - 1) / period;
  parallel_ranges(periods, grain_rows(period), [&](Range units) {
    for (std::int64_t unit = units.begin; unit < units.end; ++unit) {
      const std::uint8_t* from = x.data() + unit * period;
      T* to = y.data() + unit * period;
      const std::int64_t elements = std::min(period, std::ssize(x) - unit * period);
      for_lanes<A>(elements, [&](std::int64_t i, auto lanes) {
        const auto byte = lanes.template load_integers<A>(from + i);
        lanes.store(to + i, simd::fma(byte, simd::load(scale + i), simd::load(shift + i)));
      });
    }
  });
}

}  // namespace vectors

namespace detail {
template <class U>
void transpose(const char* kernel, std::span<U> dst, std::span<const U> src, std::int64_t n,
               std::int64_t rows, std::int64_t cols) {
  static_assert(std::is_trivially_copyable_v<U>);
  simd_or_reference(kernel, vectors::transpose<U>, reference::transpose<U>)(dst.data(), src.data(),
                                                                            n, rows, cols);
}
}  // namespace detail

/// dst [n, h, w, c] from src [n, c, h, w]; also weights [oc, kh, kw, ic] from [oc, ic, kh, kw].
template <class U>
void nchw_to_nhwc(std::span<U> dst, std::span<const U> src, std::int64_t n, std::int64_t c,
                  std::int64_t h, std::int64_t w) {
  detail::transpose("nchw_to_nhwc", dst, src, n, c, h * w);
}

/// dst [n, c, h, w] from src [n, h, w, c].
template <class U>
void nhwc_to_nchw(std::span<U> dst, std::span<const U> src, std::int64_t n, std::int64_t c,
                  std::int64_t h, std::int64_t w) {
  detail::transpose("nhwc_to_nchw", dst, src, n, h * w, c);
}

/// y = (x / 255 - mean[c]) / std[c]: from the bytes of images [.., c] to what a network reads.
template <Scalar T>
void normalise(std::span<T> y, std::span<const std::uint8_t> x, std::span<const param_t<T>> mean,
               std::span<const param_t<T>> std, std::int64_t c) {
  simd_or_reference("normalise", vectors::normalise<T>, reference::normalise<T>)(y, x, mean, std,
                                                                                 c);
}

/// y [n, padded_h, padded_w, c]: x [n, h, w, c] in a border of zeros.
template <Scalar T>
void pad2d_forward(std::span<T> y, std::span<const T> x, const Pad2dGeometry& g) {
  const std::int64_t out_row = g.padded_w() * g.c, in_row = g.w * g.c;
  parallel_ranges(g.n * g.padded_h(), grain_rows(out_row), [&](Range rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t n = row / g.padded_h(), h = row % g.padded_h() - g.top;
      T* to = y.data() + row * out_row;
      if (h < 0 || h >= g.h) {
        std::fill_n(to, out_row, T{});
        continue;
      }
      std::fill_n(to, g.left * g.c, T{});
      std::copy_n(x.data() + (n * g.h + h) * in_row, in_row, to + g.left * g.c);
      std::fill_n(to + g.left * g.c + in_row, g.right * g.c, T{});
    }
  });
}

/// dx [n, h, w, c]: dy [n, padded_h, padded_w, c] without its border.
template <Scalar T>
void pad2d_backward(std::span<T> dx, Store store, std::span<const T> dy, const Pad2dGeometry& g) {
  using A = accumulate_t<T>;
  const std::int64_t out_row = g.padded_w() * g.c, in_row = g.w * g.c;
  parallel_ranges(g.n * g.h, grain_rows(in_row), [&](Range rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t padded_row = row / g.h * g.padded_h() + row % g.h + g.top;
      const T* from = dy.data() + padded_row * out_row + g.left * g.c;
      for_lanes<A>(in_row, [&](std::int64_t i, auto lanes) {
        put(dx.data() + row * in_row + i, lanes.load(from + i), store, lanes);
      });
    }
  });
}

/// dst = src in another type, rounded to nearest even.
template <Scalar U, Scalar T>
void convert(std::span<U> dst, std::span<const T> src) {
  if constexpr (std::is_same_v<accumulate_t<U>, accumulate_t<T>>) {
    transform(dst, Store::overwrite, [](auto x) { return x; }, src);
  } else {
    parallel_ranges(std::ssize(src), grain, [&](Range range) {
      for (std::int64_t i = range.begin; i < range.end; ++i) dst[i] = static_cast<U>(src[i]);
    });
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
