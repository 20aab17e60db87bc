#pragma once

#include <cstdint>
#include <span>

#include <tinynet/core/error.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// One sample on its way into a batch: a copy of its pixels to be changed in place, and what a
/// transform may want to know about it.
struct Image {
  std::span<std::uint8_t> pixels;  // [height, width, channels]
  std::int64_t height = 0, width = 0, channels = 0;
  std::int32_t label = 0;
  std::int64_t sample = 0;  // its row in the whole data set
  std::int64_t epoch = 0;

  std::uint8_t* row(std::int64_t y) const { return pixels.data() + y * width * channels; }
  Shape shape() const { return {height, width, channels}; }
};

/// Throws ShapeError unless the image is grey or red, green, blue.
inline void require_grey_or_rgb(const char* who, const Image& image) {
  if (image.channels == 1 || image.channels == 3) return;
  throw ShapeError(
      Message(who, "images have one channel or three").fact("image", image.shape(), "(h, w, c)"));
}

}  // namespace tinynet::inline TINYNET_ABI::data
