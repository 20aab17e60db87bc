#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::data {

namespace detail {

/// The pixels of one axis that an output pixel is a mean of.
struct ResizeTaps {
  std::int64_t first = 0;
  std::vector<float> weights;  // their sum is one
};

/// A triangle around the middle of each output pixel, as wide as two pixels of the coarser grid.
template <class = void>
std::vector<ResizeTaps> resize_taps(std::int64_t from, std::int64_t to) {
  const double scale = double(from) / double(to), reach = std::max(scale, 1.0);
  std::vector<ResizeTaps> taps(static_cast<std::size_t>(to));
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const double middle = scale * (double(i) + 0.5);
    const auto first = static_cast<std::int64_t>(std::max(middle - reach + 0.5, 0.0));
    const auto last = std::min(static_cast<std::int64_t>(middle + reach + 0.5), from);
    double sum = 0;
    for (auto x = first; x < last; ++x) {
      const double weight = std::max(0.0, 1 - std::abs(double(x) + 0.5 - middle) / reach);
      taps[i].weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (auto& weight : taps[i].weights) weight = static_cast<float>(weight / sum);
    taps[i].first = first;
  }
  return taps;
}

/// to [outer, taps.size(), inner] from [outer, size, inner], along the middle axis.
template <class From, class Put>
void resize_axis(const From* from, std::int64_t outer, std::int64_t size, std::int64_t inner,
                 const std::vector<ResizeTaps>& taps, Put put) {
  for (std::int64_t o = 0; o < outer; ++o) {
    for (const auto& [first, weights] : taps) {
      for (std::int64_t i = 0; i < inner; ++i) {
        const From* at = from + (o * size + first) * inner + i;
        float sum = 0;
        for (const auto weight : weights) {
          sum += weight * static_cast<float>(*at);
          at += inner;
        }
        put(sum);
      }
    }
  }
}

}  // namespace detail

/// An image [h, w, c] at another size: bilinear, and antialiased where it shrinks (PyTorch's
/// interpolate with antialias=True, Pillow's BILINEAR; up to rounding). The shape of what it shows
/// is stretched where the sides' ratio changes. Throws ShapeError for a size below one pixel.
template <class = void>
Tensor<std::uint8_t> resize(const Tensor<std::uint8_t>& image, std::int64_t height,
                            std::int64_t width) {
  const auto& shape = image.shape();
  if (shape.axes() != 3 || image.empty() || height < 1 || width < 1) {
    throw ShapeError(Message("resize", "needs an image [h, w, c] and a size of a pixel or more")
                         .fact("image", shape)
                         .fact("size", {height, " x ", width}));
  }
  const auto channels = shape[2];
  if (height == shape[0] && width == shape[1]) return image.clone();
  Tensor<float> rows({shape[0], width, channels});
  detail::resize_axis(image.data(), shape[0], shape[1], channels,
                      detail::resize_taps(shape[1], width),
                      [to = rows.data()](float value) mutable { *to++ = value; });
  Tensor<std::uint8_t> resized({height, width, channels});
  detail::resize_axis(rows.data(), 1, shape[0], width * channels,
                      detail::resize_taps(shape[0], height),
                      [to = resized.data()](float value) mutable {
                        *to++ = static_cast<std::uint8_t>(std::min(value + 0.5f, 255.0f));
                      });
  return resized;
}

}  // namespace tinynet::inline TINYNET_ABI::data
