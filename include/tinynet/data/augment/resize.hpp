#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include <tinynet/core/error.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// How pixels are weighed where an image changes its size. `bilinear` is PyTorch's with antialias:
/// a triangle as wide as two pixels of the image or of the result, whichever are larger. `area`
/// takes the share of each pixel that a pixel of the result covers (OpenCV's INTER_AREA).
enum class Filter { bilinear, area };

/// Pixels somewhere in memory; rows may lie further apart than they are long.
struct Window {
  const std::uint8_t* pixels = nullptr;
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t row_bytes = 0;
};

namespace detail {

/// The pixels of the source that make one of the result, along one axis.
struct Taps {
  std::int64_t first = 0, count = 0;
  const float* weights = nullptr;
};

template <class = void>
std::span<const Taps> resize_taps(std::int64_t from, std::int64_t to, Filter filter,
                                  Scratch& scratch) {
  const auto scale = static_cast<double>(from) / static_cast<double>(to);
  const auto reach = filter == Filter::area ? scale / 2 : std::max(scale, 1.0);
  const auto most = static_cast<std::int64_t>(std::ceil(2 * reach)) + 2;
  const auto taps = scratch.take<Taps>(to);
  const auto weights = scratch.take<float>(to * most);
  for (std::int64_t i = 0; i < to; ++i) {
    const auto centre = scale * (static_cast<double>(i) + 0.5);
    const auto low =
        filter == Filter::area ? std::floor(centre - reach) : std::trunc(centre - reach + 0.5);
    const auto high =
        filter == Filter::area ? std::ceil(centre + reach) : std::trunc(centre + reach + 0.5);
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(low), 0);
    const auto last = std::min<std::int64_t>(static_cast<std::int64_t>(high), from);
    auto* w = weights.data() + i * most;
    double total = 0;
    const auto weight = [&](std::int64_t j) {
      const auto left = static_cast<double>(j);
      if (filter == Filter::bilinear) {
        return std::max(0.0, 1 - std::abs(left + 0.5 - centre) / reach);
      }
      return std::max(0.0, std::min(left + 1, centre + reach) - std::max(left, centre - reach));
    };
    for (auto j = first; j < last; ++j) total += weight(j);
    for (auto j = first; j < last; ++j) w[j - first] = static_cast<float>(weight(j) / total);
    taps[static_cast<std::size_t>(i)] = {first, last - first, w};
  }
  return taps;
}

}  // namespace detail

/// Fills `to`, an image [h, w, c], with all of `from` in that size. The two may not overlap. Throws
/// ShapeError if the channels differ, a side is zero or `to` has not as many elements.
template <class = void>
void resize(const Window& from, std::span<std::uint8_t> to, const Shape& shape,
            Filter filter = Filter::bilinear) {
  const auto channels = from.channels;
  if (shape.axes() != 3 || shape[2] != channels || shape.elements() != std::ssize(to) ||
      shape.elements() == 0 || from.height <= 0 || from.width <= 0) {
    throw ShapeError(Message("resize", "the images do not fit")
                         .fact("from", Shape{from.height, from.width, channels}, "(h, w, c)")
                         .fact("to", shape, {std::ssize(to), " elements"}));
  }
  Scratch scratch;
  const auto rows = detail::resize_taps(from.height, shape[0], filter, scratch);
  const auto columns = detail::resize_taps(from.width, shape[1], filter, scratch);
  const auto sums = scratch.take<float>(from.width * channels);
  auto* out = to.data();
  for (const auto& row : rows) {
    kernels::for_lanes<float>(from.width * channels, [&](std::int64_t i, auto lanes) {
      simd::batch<float> sum(0.0f);
      const auto* at = from.pixels + row.first * from.row_bytes + i;
      for (std::int64_t t = 0; t < row.count; ++t, at += from.row_bytes) {
        sum = simd::fma(lanes.template load_integers<float>(at), simd::batch<float>(row.weights[t]),
                        sum);
      }
      lanes.store(sums.data() + i, sum);
    });
    for (const auto& column : columns) {
      const auto* begin = sums.data() + column.first * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0.5f;
        for (std::int64_t t = 0; t < column.count; ++t) {
          sum += column.weights[t] * begin[t * channels + c];
        }
        *out++ = static_cast<std::uint8_t>(std::min(sum, 255.0f));
      }
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::data
