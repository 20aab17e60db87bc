#pragma once

#include <algorithm>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Mirrors the image left to right.
inline void horizontal_flip(Image& image) {
  for (std::int64_t y = 0; y < image.height; ++y) {
    auto *left = image.row(y), *right = image.row(y + 1) - image.channels;
    for (; left < right; left += image.channels, right -= image.channels) {
      std::swap_ranges(left, left + image.channels, right);
    }
  }
}

/// Mirrors the image top to bottom.
inline void vertical_flip(Image& image) {
  for (std::int64_t y = 0; y < image.height / 2; ++y) {
    std::swap_ranges(image.row(y), image.row(y + 1), image.row(image.height - 1 - y));
  }
}

/// Mirrors left to right, this share of the images (PyTorch's RandomHorizontalFlip).
struct HorizontalFlip {
  float probability = 0.5f;  // 0 to 1

  void check() const { require_probability("horizontal_flip", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) horizontal_flip(image);
  }
};

/// Mirrors top to bottom, this share of the images (PyTorch's RandomVerticalFlip).
struct VerticalFlip {
  float probability = 0.5f;  // 0 to 1

  void check() const { require_probability("vertical_flip", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) vertical_flip(image);
  }
};

/// Mirrors half of the images, drawn once, in even epochs, and the other half in odd ones: two
/// epochs show each image both ways, where HorizontalFlip shows half of them the same way twice
/// (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
struct AlternatingFlip {
  std::uint64_t seed = 0;  // of the half, which has to be the same in all epochs of a run

  template <class = void>
  void operator()(Image& image, random::Generator&) const {
    const auto key = random::Key{seed}.fold("alternating_flip");
    const auto half = random::bits(key, static_cast<std::uint64_t>(image.sample)) & 1;
    if (half != (static_cast<std::uint64_t>(image.epoch) & 1)) horizontal_flip(image);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
