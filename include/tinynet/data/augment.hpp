#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <tinynet/core/error.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/tensor/shape.hpp>

/// Augmentation changes an image on its way from the data set to a batch. A transform is anything
/// that can be called with an Image and a Generator. Loaders call it from several threads at once:
/// it must not change itself. What it draws depends on (seed, epoch, sample) alone.
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
};

using Transform = std::function<void(Image&, random::Generator&)>;

/// Applies transforms one after another.
inline Transform compose(std::vector<Transform> transforms) {
  return [transforms = std::move(transforms)](Image& image, random::Generator& generator) {
    for (const auto& transform : transforms) transform(image, generator);
  };
}

/// What lies beyond the edge of an image: black, or the image mirrored at the centre of its
/// outermost pixels (PyTorch's "reflect").
enum class Border { zero, reflect };

/// Pads the image on every side and cuts out a window of the old size, every place equally likely.
struct RandomCrop {
  std::int64_t padding = 4;  // pixels, less than height and width where the border reflects
  Border border = Border::zero;

  void operator()(Image& image, random::Generator& generator) const {
    const auto height = image.height, width = image.width;
    if (padding < 0 || (border == Border::reflect && padding >= std::min(height, width))) {
      throw ShapeError(Message("random_crop", "the padding does not fit the image")
                           .fact("padding", padding)
                           .fact("image", Shape{height, width, image.channels}, "(h, w, c)"));
    }
    const auto places = static_cast<std::uint32_t>(2 * padding + 1);
    const auto down = std::int64_t{generator.below(places)} - padding;
    const auto right = std::int64_t{generator.below(places)} - padding;
    if (down == 0 && right == 0) return;

    Scratch scratch;
    const auto copy = scratch.take<std::uint8_t>(std::ssize(image.pixels));
    std::copy(image.pixels.begin(), image.pixels.end(), copy.begin());
    const auto row_bytes = width * image.channels;
    // Columns [first, last) come from inside the image, in one piece.
    const auto first = std::clamp(-right, std::int64_t{0}, width);
    const auto last = std::clamp(width - right, first, width);
    for (std::int64_t y = 0; y < height; ++y) {
      auto* to = image.row(y);
      const auto source = beyond(y + down, height);
      if (source < 0) {
        std::fill_n(to, row_bytes, std::uint8_t{0});
        continue;
      }
      const auto* from = copy.data() + source * row_bytes;
      const auto edge = [&](std::int64_t x) {
        const auto column = beyond(x + right, width);
        for (std::int64_t c = 0; c < image.channels; ++c) {
          to[x * image.channels + c] = column < 0 ? 0 : from[column * image.channels + c];
        }
      };
      for (std::int64_t x = 0; x < first; ++x) edge(x);
      std::copy_n(from + (first + right) * image.channels, (last - first) * image.channels,
                  to + first * image.channels);
      for (std::int64_t x = last; x < width; ++x) edge(x);
    }
  }

 private:
  /// The coordinate to read for `at`, which may lie outside [0, size); -1: black.
  std::int64_t beyond(std::int64_t at, std::int64_t size) const {
    if (at >= 0 && at < size) return at;
    if (border == Border::zero) return -1;
    return at < 0 ? -at : 2 * (size - 1) - at;
  }
};

/// Mirrors the image left to right.
struct HorizontalFlip {
  float probability = 0.5f;

  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    for (std::int64_t y = 0; y < image.height; ++y) {
      auto *left = image.row(y), *right = image.row(y + 1) - image.channels;
      for (; left < right; left += image.channels, right -= image.channels) {
        std::swap_ranges(left, left + image.channels, right);
      }
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
