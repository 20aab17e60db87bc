#pragma once

#include <algorithm>
#include <array>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/tables.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Changes of levels alone, channel by channel, for any number of channels: torchvision's functions
/// of the same names.
namespace tinynet::inline TINYNET_ABI::data {

inline void invert(Image& image) {
  for (auto& level : image.pixels) level = static_cast<std::uint8_t>(255 - level);
}

/// Inverts levels of `threshold` or more.
template <class = void>
void solarize(Image& image, float threshold) {
  look_up(image,
          level_table([=](float level) { return level >= threshold ? 255 - level : level; }));
}

/// Keeps the highest `bits` of each level, 0 to 8.
template <class = void>
void posterize(Image& image, int bits) {
  const auto mask = static_cast<std::uint8_t>(0xff00 >> bits);
  for (auto& level : image.pixels) level &= mask;
}

/// Stretches each channel so that its darkest level becomes 0 and its lightest 255.
inline void autocontrast(Image& image) {
  for (std::int64_t c = 0; c < image.channels; ++c) {
    int low = 255, high = 0;
    for (auto i = c; i < std::ssize(image.pixels); i += image.channels) {
      const int level = image.pixels[static_cast<std::size_t>(i)];
      low = std::min(low, level), high = std::max(high, level);
    }
    if (low >= high) continue;
    const auto range = static_cast<float>(high - low), from = static_cast<float>(low);
    const auto stretch = [=](float level) { return (level - from) * 255 / range; };
    look_up(image, level_table(stretch), c);
  }
}

/// Spreads the levels of each channel so that all occur about equally often, in Pillow's steps.
inline void equalize(Image& image) {
  for (std::int64_t c = 0; c < image.channels; ++c) {
    std::array<std::int64_t, 256> count{};
    std::uint8_t lightest = 0;
    for (auto i = c; i < std::ssize(image.pixels); i += image.channels) {
      const auto level = image.pixels[static_cast<std::size_t>(i)];
      ++count[level];
      lightest = std::max(lightest, level);
    }
    const auto step = (image.height * image.width - count[lightest]) / 255;
    if (step == 0) continue;
    LevelTable table;
    auto sum = step / 2;
    for (std::size_t level = 0; level < 256; ++level) {
      table[level] = static_cast<std::uint8_t>(std::min<std::int64_t>(sum / step, 255));
      sum += count[level];
    }
    look_up(image, table, c);
  }
}

/// Inverts this share of the images (PyTorch's RandomInvert).
struct Invert {
  float probability = 0.5f;

  void check() const { require_probability("invert", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) invert(image);
  }
};

/// Inverts the levels of `threshold` or more (PyTorch's RandomSolarize).
struct Solarize {
  float threshold = 128;  // 0 to 256, which inverts nothing
  float probability = 0.5f;

  void check() const {
    require_setting(threshold >= 0 && threshold <= 256, "solarize", "threshold", threshold,
                    "0 to 256");
    require_probability("solarize", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) solarize(image, threshold);
  }
};

/// Keeps the highest bits of each level (PyTorch's RandomPosterize).
struct Posterize {
  int bits = 4;  // 0 to 8
  float probability = 0.5f;

  void check() const {
    require_setting(bits >= 0 && bits <= 8, "posterize", "bits", bits, "0 to 8");
    require_probability("posterize", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) posterize(image, bits);
  }
};

/// Stretches the levels of this share of the images (PyTorch's RandomAutocontrast).
struct Autocontrast {
  float probability = 0.5f;

  void check() const { require_probability("autocontrast", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) autocontrast(image);
  }
};

/// Equalizes this share of the images (PyTorch's RandomEqualize).
struct Equalize {
  float probability = 0.5f;

  void check() const { require_probability("equalize", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) equalize(image);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
