#pragma once

#include <algorithm>
#include <cmath>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/resize.hpp>
#include <tinynet/data/augment/transform.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Replaces the image by a window of it, enlarged to the image's size (torchvision's resized_crop).
/// Throws ShapeError if the window does not lie within the image.
template <class = void>
void resized_crop(Image& image, std::int64_t top, std::int64_t left, std::int64_t height,
                  std::int64_t width, Filter filter = Filter::bilinear) {
  if (top < 0 || left < 0 || height < 1 || width < 1 || top + height > image.height ||
      left + width > image.width) {
    throw ShapeError(Message("resized_crop", "the window does not lie within the image")
                         .fact("window", Shape{top, left, height, width}, "(top, left, h, w)")
                         .fact("image", image.shape(), "(h, w, c)"));
  }
  Scratch scratch;
  const auto copy = scratch.take<std::uint8_t>(std::ssize(image.pixels));
  std::copy(image.pixels.begin(), image.pixels.end(), copy.begin());
  const auto row_bytes = image.width * image.channels;
  const auto* corner = copy.data() + top * row_bytes + left * image.channels;
  resize({corner, height, width, image.channels, row_bytes}, image.pixels, image.shape(), filter);
}

/// A window of random area and aspect, enlarged to the image's size (PyTorch's RandomResizedCrop).
/// The aspect is drawn on a logarithmic scale; after ten tries that do not fit, the largest window
/// of an aspect within `ratio` in the middle.
struct RandomResizedCrop {
  Interval scale = {0.08f, 1};         // area / area of the image, above 0, at most 1
  Interval ratio = {0.75f, 4.0f / 3};  // width / height, above 0
  Filter filter = Filter::bilinear;
  float probability = 1;

  void check() const {
    const char* who = "random_resized_crop";
    require_interval(who, "scale", scale, 1e-6, 1, "above 0, at most 1");
    require_interval(who, "ratio", ratio, 1e-3, 1e3, "0.001 to 1000");
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto height = static_cast<float>(image.height), width = static_cast<float>(image.width);
    const Interval logarithm{std::log(ratio.low), std::log(ratio.high)};
    for (int tries = 0; tries < 10; ++tries) {
      const auto area = height * width * scale.draw(generator);
      const auto aspect = std::exp(logarithm.draw(generator));
      const std::int64_t w = std::lround(std::sqrt(area * aspect));
      const std::int64_t h = std::lround(std::sqrt(area / aspect));
      if (w < 1 || h < 1 || w > image.width || h > image.height) continue;
      const auto top = Count{0, image.height - h}.draw(generator);
      const auto left = Count{0, image.width - w}.draw(generator);
      resized_crop(image, top, left, h, w, filter);
      return;
    }
    const auto aspect = std::clamp(width / height, ratio.low, ratio.high);
    const auto fitting = [](float side, std::int64_t most) {
      return std::clamp<std::int64_t>(std::lround(side), 1, most);
    };
    const auto w = fitting(std::min(width, height * aspect), image.width);
    const auto h = fitting(std::min(height, width / aspect), image.height);
    resized_crop(image, (image.height - h) / 2, (image.width - w) / 2, h, w, filter);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
