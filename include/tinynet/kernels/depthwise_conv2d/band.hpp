#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/input_map.hpp>
#include <tinynet/kernels/loops.hpp>

/// Some rows of an image, copied for a depthwise kernel.
///
/// A row of pixels with their channels is one flat axis of vectors: lane i belongs to channel i % c
/// wherever a vector starts, so that no width of image and no number of channels has tails within a
/// row. That needs zeros around the image, weights repeated along the axis, and, for a stride, the
/// columns that one tap reads side by side.
namespace tinynet::inline TINYNET_ABI::kernels::depthwise {

/// Writes one vector of sums, or what is left of one. Called, it took an eighth of a pass.
template <class T, class X>
[[gnu::always_inline]] inline void put(T* to, simd::batch<X> x, std::int64_t left, Store store) {
  if (left >= simd::width<X>) {
    if (store == Store::add) x = x + simd::load(to);
    simd::store(to, x);
  } else {
    if (store == Store::add) x = x + simd::load_partial(to, left);
    simd::store_partial(to, x, left);
  }
}

/// Writes `count` sums.
template <class T, class X>
void narrow_row(T* to, const X* from, std::int64_t count, Store store) {
  for (std::int64_t i = 0; i < count; i += simd::width<X>) {
    put(to + i, simd::load(from + i), count - i, store);
  }
}

/// The shape of a band: source column of (phase f, column q) is q * stride + f - left.
struct BandShape {
  std::int64_t rows = 0;
  std::int64_t cols = 0;    // of each phase
  std::int64_t stride = 1;  // phases: columns are dealt out to `stride` groups
  std::int64_t left = 0;    // zero columns in front; negative where columns are left out
  std::int64_t c = 0;

  std::int64_t row_size() const { return stride * cols * c; }
  /// Where the source column `column - left` of a row stands.
  std::int64_t offset(std::int64_t column) const {
    return (column % stride * cols + column / stride) * c;
  }
};

/// Copies a pixel of c elements by whole vectors: what stands behind both pixels is read and
/// overwritten, so pixels are copied in the order they lie in. With 20 channels a masked second
/// vector took most of the time.
template <class X>
[[gnu::always_inline]] inline void copy_pixel(X* to, const X* from, std::int64_t c) {
  for (std::int64_t j = 0; j < c; j += simd::width<X>) simd::store(to + j, simd::load(from + j));
}

/// Widens pixels through a map where there is one.
template <class T, class X>
[[gnu::always_inline]] inline void widen_pixels(X* to, const T* from, InputMap map,
                                                std::int64_t pixels, std::int64_t c) {
  if (map) map.unrounded(to, from, pixels);
  else widen(to, from, pixels * c);
}

/// Copies the map of rows [first, first + rows) of an image [h, w, c]; what lies outside of it becomes zero.
/// A vector that starts in a row is read to its end, so that `to` should come from Scratch, which
/// has memory to spare behind it.
template <class T, class X>
void copy_band(X* to, const T* image, InputMap map, std::int64_t h, std::int64_t w,
               std::int64_t first, const BandShape& band) {
  const auto c = band.c;
  Scratch scratch;
  X* wide = band.stride == 1 ? nullptr : scratch.take<X>(w * c).data();
  for (std::int64_t row = first; row < first + band.rows; ++row, to += band.row_size()) {
    if (row < 0 || row >= h) {
      std::fill(to, to + band.row_size(), X(0));
      continue;
    }
    const T* from = image + row * w * c;
    if (band.stride == 1) {
      const auto begin = std::clamp<std::int64_t>(band.left, 0, band.cols);
      const auto end = std::clamp<std::int64_t>(w + band.left, begin, band.cols);
      std::fill(to, to + begin * c, X(0));
      widen_pixels(to + begin * c, from + (begin - band.left) * c, map, end - begin, c);
      std::fill(to + end * c, to + band.cols * c, X(0));
      continue;
    }
    widen_pixels(wide, from, map, w, c);
    for (std::int64_t phase = 0; phase < band.stride; ++phase) {
      auto source = phase - band.left;
      for (std::int64_t q = 0; q < band.cols; ++q, source += band.stride) {
        X* pixel = to + (phase * band.cols + q) * c;
        if (source >= 0 && source < w) copy_pixel(pixel, wide + source * c, c);
        else std::fill(pixel, pixel + c, X(0));
      }
    }
  }
}

/// Copies a band piece by piece, from its first row on.
template <class T, class X>
struct BandCopy {
  X* to;
  const T* image;
  InputMap map;
  std::int64_t h, w, first;
  BandShape band;
  std::int64_t copied = 0;

  void up_to(std::int64_t rows) {
    auto part = band;
    part.rows = rows - copied;
    copy_band(to + copied * band.row_size(), image, map, h, w, first + copied, part);
    copied = rows;
  }
};

/// The weights of a window as rows: row t holds tap t for channels 0 .. c - 1, 0, 1, ... so that a
/// vector may begin at any channel.
template <class X>
struct WeightRows {
  const X* data = nullptr;
  std::int64_t step = 0;
};

template <class X>
WeightRows<X> repeat_weights(Scratch& scratch, std::span<const X> w, std::int64_t c,
                             std::int64_t taps) {
  const auto step = c + simd::width<X> - 1;
  const auto rows = scratch.take<X>(taps * step);
  for (std::int64_t t = 0; t < taps; ++t) {
    for (std::int64_t j = 0; j < step; ++j) {
      rows[t * step + j] = w.empty() ? X(0) : w[j % c * taps + t];
    }
  }
  return {rows.data(), step};
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
