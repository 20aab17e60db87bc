#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <tinynet/core/pieces.hpp>
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

/// A row of a band: pixels of an image's row one after the other, or those that a list names.
struct BandShape {
  std::int64_t cols = 0;
  std::int64_t c = 0;
  std::int64_t left = 0;  // zero pixels in front; negative where columns are left out
  const std::int64_t* sources =
      nullptr;  // [cols], in place of `left`: columns, negative ones are zeros

  static constexpr std::int64_t alignment = 16;  // elements: a line, or two
  std::int64_t row_size() const { return round_up(cols * c, alignment); }
  /// Elements in front, so that the zeros end with a line: a store into two lines takes twice as long.
  std::int64_t shift() const {
    return sources || left < 0 ? 0 : (alignment - left * c % alignment) % alignment;
  }
};

/// Widens pixels through a map where there is one.
template <class T, class X>
[[gnu::always_inline]] inline void widen_pixels(X* to, const T* from, InputMap map,
                                                std::int64_t pixels, std::int64_t c) {
  if (map) map.unrounded(to, from, pixels);
  else widen(to, from, pixels * c);
}

/// Copies a row of an image [h, w, c], or of its map, and zeros around it.
template <class T, class X>
void copy_row(X* to, const T* from, InputMap map, std::int64_t w, const BandShape& band) {
  const auto c = band.c;
  if (!band.sources) {
    const auto begin = std::clamp<std::int64_t>(band.left, 0, band.cols);
    const auto end = std::clamp<std::int64_t>(w + band.left, begin, band.cols);
    std::fill(to, to + begin * c, X(0));
    widen_pixels(to + begin * c, from + (begin - band.left) * c, map, end - begin, c);
    std::fill(to + end * c, to + band.cols * c, X(0));
    return;
  }
  Scratch scratch;
  auto* const pixels = scratch.take<X>((w + 1) * c).data();
  widen_pixels(pixels, from, map, w, c);
  auto* const zeros = pixels + w * c;
  std::fill(zeros, zeros + c, X(0));
  // By whole vectors: what stands behind a pixel is read too, and overwritten by the next one. With 20 channels a
  // masked second vector took most of the time.
  for (std::int64_t i = 0; i < band.cols; ++i, to += c) {
    const X* pixel = band.sources[i] < 0 ? zeros : pixels + band.sources[i] * c;
    for (std::int64_t j = 0; j < c; j += simd::width<X>) simd::store(to + j, simd::load(pixel + j));
  }
}

/// The rows that a few rows of results read, from top to bottom: few, so that they stay in L1 until these are computed.
template <class T, class X>
class Band {
 public:
  /// For at most `rows` rows at once, of images [h, w, c].
  Band(Scratch& scratch, const BandShape& shape, std::int64_t rows, InputMap map, std::int64_t h,
       std::int64_t w)
      : shape_(shape),
        map_(map),
        h_(h),
        w_(w),
        data_(scratch.take<X>(rows * shape.row_size() + BandShape::alignment).data() +
              shape.shift()) {}

  void begin(const T* image) {
    image_ = image;
    held_ = 0;
  }

  /// Rows [first, first + count); what lies outside of the image is zero. Those that the call before had
  /// are moved, not copied again.
  const X* rows(std::int64_t first, std::int64_t count) {
    const auto step = shape_.row_size();
    const auto kept = held_ > 0 ? std::max<std::int64_t>(first_ + held_ - first, 0) : 0;
    if (kept > 0) std::copy_n(data_ + (first - first_) * step, kept * step, data_);
    for (auto row = first + kept; row < first + count; ++row) {
      X* to = data_ + (row - first) * step;
      if (row < 0 || row >= h_) std::fill(to, to + shape_.cols * shape_.c, X(0));
      else copy_row(to, image_ + row * w_ * shape_.c, map_, w_, shape_);
    }
    first_ = first;
    held_ = count;
    return data_;
  }

  /// The row of the image behind them.
  const T* next_row() const { return image_ + (first_ + held_) * w_ * shape_.c; }

 private:
  BandShape shape_;
  InputMap map_;
  std::int64_t h_, w_;
  X* data_;
  const T* image_ = nullptr;
  std::int64_t first_ = 0, held_ = 0;  // rows
};

/// Weights as rows: row t holds those of tap t for channels 0 .. c - 1, 0, 1, ... so that a vector may begin at
/// any channel.
template <class X>
struct WeightRows {
  const X* data = nullptr;
  std::int64_t step = 0;
};

/// Of `taps` taps; set(t, row) writes the first c of a row, which are zero before.
template <class X, class F>
WeightRows<X> weight_rows(Scratch& scratch, std::int64_t taps, std::int64_t c, F&& set) {
  const auto step = c + simd::width<X> - 1;
  auto* const rows = scratch.take<X>(taps * step).data();
  std::fill(rows, rows + taps * step, X(0));
  for (std::int64_t t = 0; t < taps; ++t) {
    X* const row = rows + t * step;
    set(t, row);
    for (auto i = c; i < step; ++i) row[i] = row[i - c];
  }
  return {rows, step};
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::depthwise
