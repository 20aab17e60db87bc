#pragma once

#include <cstdint>

#include <tinynet/data/augment/resize.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::data {

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
  if (height == shape[0] && width == shape[1]) return image.clone();
  const auto channels = shape[2];
  const Window whole{image.data(), shape[0], shape[1], channels, shape[1] * channels};
  Tensor<std::uint8_t> resized({height, width, channels});
  resize(whole, resized.span(), resized.shape());
  return resized;
}

}  // namespace tinynet::inline TINYNET_ABI::data
