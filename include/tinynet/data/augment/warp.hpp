#pragma once

#include <algorithm>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/pixels.hpp>

/// The core of everything that bends an image: each pixel of the result looks up where it comes from.
namespace tinynet::inline TINYNET_ABI::data {

/// Where the point (x, y) of the result comes from in the image:
///   ((a x + b y + c) / w, (d x + e y + f) / w)   with   w = g x + h y + 1
/// in pixels from the upper left corner; the first pixel's centre is (0.5, 0.5).
struct Mapping {
  float a = 1, b = 0, c = 0;
  float d = 0, e = 1, f = 0;
  float g = 0, h = 0;
};

enum class Interpolation { nearest, bilinear };

/// How a warp reads the image.
struct Sampling {
  Interpolation interpolation = Interpolation::bilinear;
  Border border = Border::fill;
  Fill fill = 0;
};

namespace detail {

/// A coordinate in [-1, size] with the same value under the border rule: beyond it, all is fill.
/// NaN, where a perspective has its horizon, becomes -1: the order of arguments matters.
template <class = void>
simd::batch<float> within(const simd::batch<float>& x, std::int64_t size, Border border) {
  const auto end = static_cast<float>(size);
  if (border == Border::fill) return simd::min(simd::max(x, -1.0f), end);
  // Mirrored at 0 and at the last pixel: the distance to the nearest multiple of the period.
  const auto period = std::max(2 * (end - 1), 1.0f);
  const auto turns = simd::min(simd::abs(x) / period, 1e6f);
  return simd::min(simd::abs(turns - simd::trunc(turns + 0.5f)) * period, end - 1);
}

}  // namespace detail

/// Replaces the image by `mapping` of it. Throws ShapeError for one that is too large for places in
/// float, about 4096 x 4096 pixels.
template <class = void>
void warp(Image& image, const Mapping& mapping, const Sampling& sampling) {
  using Lanes = simd::batch<float>;
  const auto height = image.height, width = image.width, channels = image.channels;
  // A frame of fill, one pixel before the image and two after, so that neither clamped coordinates
  // nor their right and lower neighbours need a test.
  const auto stride = width + 3;
  constexpr std::int64_t most = 1 << 24;  // up to here floats count in ones
  if (height >= most || stride >= most || (height + 3) * stride > most) {
    throw ShapeError(Message("warp", "the image is too large")
                         .fact("expected", {most, " pixels at most, with three more a side"})
                         .fact("came", {height, " x ", width, " pixels"})
                         .hint("resize or crop it before"));
  }
  Scratch scratch;
  const auto framed = scratch.take<std::int32_t>((height + 3) * stride);
  const auto fill = sampling.fill[0] | sampling.fill[1] << 8 | sampling.fill[2] << 16;
  std::fill(framed.begin(), framed.end(), fill);
  for (std::int64_t y = 0; y < height; ++y) {
    to_words(image.row(y), width, channels, framed.data() + (y + 1) * stride + 1);
  }

  const auto result = scratch.take<std::int32_t>(width + simd::width<float>);
  const auto& m = mapping;
  const auto columns = simd::iota() + 0.5f;
  for (std::int64_t y = 0; y < height; ++y) {
    const auto py = static_cast<float>(y) + 0.5f;
    for (std::int64_t x = 0; x < width; x += simd::width<float>) {
      const auto px = columns + static_cast<float>(x);
      const auto w = 1 / (m.g * px + (m.h * py + 1));
      const auto sx = (m.a * px + (m.b * py + m.c)) * w - 0.5f;
      const auto sy = (m.d * px + (m.e * py + m.f)) * w - 0.5f;
      // From here on counted from the corner of the frame: no coordinate is negative.
      const auto fx = detail::within(sx, width, sampling.border) + 1;
      const auto fy = detail::within(sy, height, sampling.border) + 1;
      if (sampling.interpolation == Interpolation::nearest) {
        const auto at =
            simd::trunc(fy + 0.5f) * static_cast<float>(stride) + simd::trunc(fx + 0.5f);
        simd::store_words(result.data() + x, simd::gather(framed.data(), at));
        continue;
      }
      const auto left = simd::trunc(fx), top = simd::trunc(fy);
      const auto right_share = fx - left, lower_share = fy - top;
      const auto at = top * static_cast<float>(stride) + left;
      const auto w00 = simd::gather(framed.data(), at);
      const auto w01 = simd::gather(framed.data() + 1, at);
      const auto w10 = simd::gather(framed.data() + stride, at);
      const auto w11 = simd::gather(framed.data() + stride + 1, at);
      const auto between = [](const Lanes& a, const Lanes& b, const Lanes& share) {
        return simd::fma(b - a, share, a);
      };
      simd::Words pixel(0);
      for (int c = 0; c < channels; ++c) {
        const auto upper = between(simd::byte(w00, c), simd::byte(w01, c), right_share);
        const auto lower = between(simd::byte(w10, c), simd::byte(w11, c), right_share);
        pixel = pixel | simd::to_byte(between(upper, lower, lower_share) + 0.5f, c);
      }
      simd::store_words(result.data() + x, pixel);
    }
    from_words(result.data(), width, channels, image.row(y));
  }
}

}  // namespace tinynet::inline TINYNET_ABI::data
