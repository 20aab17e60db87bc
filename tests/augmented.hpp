#pragma once

#include <cstdint>
#include <vector>

#include <tinynet/data/augment/image.hpp>
#include <tinynet/data/augment/transform.hpp>
#include <tinynet/tensor/tensor.hpp>

/// What tests of augmentation share: an image that owns its pixels.
namespace tinynet::tests {

struct OwnedImage {
  std::vector<std::uint8_t> pixels;
  std::int64_t height, width, channels;
  std::int32_t label = 0;
  std::int64_t sample = 0, epoch = 0;

  OwnedImage(std::int64_t h, std::int64_t w, std::int64_t c, std::uint8_t level = 0)
      : pixels(static_cast<std::size_t>(h * w * c), level), height(h), width(w), channels(c) {}
  explicit OwnedImage(const Tensor<std::uint8_t>& image)
      : OwnedImage(image.shape()[0], image.shape()[1], image.shape()[2]) {
    pixels.assign(image.span().begin(), image.span().end());
  }
  /// Random levels.
  static OwnedImage noise(std::int64_t h, std::int64_t w, std::int64_t c) {
    OwnedImage image(h, w, c);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<std::uint8_t>(random::below({5}, i, 256));
    }
    return image;
  }

  data::Image view() { return {pixels, height, width, channels, label, sample, epoch}; }
  int at(std::int64_t y, std::int64_t x, std::int64_t c = 0) const {
    return pixels[static_cast<std::size_t>((y * width + x) * channels + c)];
  }
  /// A copy, transformed under a key.
  OwnedImage with(const data::Transform& transform, std::uint64_t key = 0) const {
    auto copy = *this;
    auto image = copy.view();
    random::Generator generator(random::Key{key});
    transform(image, generator);
    return copy;
  }
  bool operator==(const OwnedImage& other) const { return pixels == other.pixels; }
};

}  // namespace tinynet::tests
