#pragma once

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/pixels.hpp>
#include <tinynet/data/augment/tables.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Brightness, contrast and saturation: a mixture `factor * image + (1 - factor) * other`, limited
/// to [0, 255] and cut off, as torchvision mixes bytes. The factor 1 leaves an image as it is.
namespace tinynet::inline TINYNET_ABI::data {

/// Mixes with black (torchvision's adjust_brightness); `factor` 0 or more.
template <class = void>
void adjust_brightness(Image& image, float factor) {
  look_up(image, level_table([=](float level) { return factor * level; }));
}

/// The mean grey level of an image of 1 or 3 channels, each pixel's cut off to a whole number.
template <class = void>
float mean_grey_level(const Image& image) {
  const auto pixels = image.height * image.width;
  std::int64_t sum = 0;
  if (image.channels == 1) {
    for (const auto level : image.pixels) sum += level;
  } else {
    const auto* p = image.pixels.data();
    for (std::int64_t i = 0; i < pixels; ++i, p += 3) {
      sum += static_cast<int>(grey_level<float>(p[0], p[1], p[2]));
    }
  }
  return static_cast<float>(static_cast<double>(sum) / static_cast<double>(pixels));
}

/// Mixes with the mean grey level (torchvision's adjust_contrast); `factor` 0 or more.
template <class = void>
void adjust_contrast(Image& image, float factor) {
  require_grey_or_rgb("contrast", image);
  const auto mean = (1 - factor) * mean_grey_level(image);
  look_up(image, level_table([=](float level) { return factor * level + mean; }));
}

/// Mixes each pixel with its grey level (torchvision's adjust_saturation); `factor` 0 or more. A
/// grey image stays as it is.
template <class = void>
void adjust_saturation(Image& image, float factor) {
  require_grey_or_rgb("saturation", image);
  if (image.channels == 1) return;
  map_colours(image, [=](auto& red, auto& green, auto& blue) {
    const auto grey = simd::trunc(grey_level(red, green, blue));
    const auto mix = [&](auto& x) {  // in this form what is grey stays as it is
      x = simd::min(simd::max(grey + factor * (x - grey), 0.0f), 255.0f);
    };
    mix(red), mix(green), mix(blue);
  });
}

/// Replaces each pixel by its grey level in all three channels (PyTorch's RandomGrayscale).
inline void grayscale(Image& image) {
  require_grey_or_rgb("grayscale", image);
  if (image.channels == 1) return;
  map_colours(image, [](auto& red, auto& green, auto& blue) {
    red = green = blue = grey_level(red, green, blue);
  });
}

namespace detail {
template <class = void>
void require_amount(const char* who, float amount, float most, const char* expected) {
  require_setting(amount >= 0 && amount <= most, who, "amount", amount, expected);
}
template <class = void>
float draw_factor(random::Generator& generator, float amount) {
  return generator.uniform(1 - amount, 1 + amount);
}
}  // namespace detail

/// Brighter or darker, by a factor between 1 - amount and 1 + amount.
struct Brightness {
  float amount = 0.2f;  // 0 to 1
  float probability = 1;

  void check() const {
    detail::require_amount("brightness", amount, 1, "0 to 1");
    require_probability("brightness", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    adjust_brightness(image, detail::draw_factor(generator, amount));
  }
};

/// More or less contrast, by a factor between 1 - amount and 1 + amount.
struct Contrast {
  float amount = 0.2f;  // 0 to 1
  float probability = 1;

  void check() const {
    detail::require_amount("contrast", amount, 1, "0 to 1");
    require_probability("contrast", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    adjust_contrast(image, detail::draw_factor(generator, amount));
  }
};

/// More or less colour, by a factor between 1 - amount and 1 + amount. Grey images stay as they are.
struct Saturation {
  float amount = 0.2f;  // 0 to 1
  float probability = 1;

  void check() const {
    detail::require_amount("saturation", amount, 1, "0 to 1");
    require_probability("saturation", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    adjust_saturation(image, detail::draw_factor(generator, amount));
  }
};

/// Takes the colour out of this share of the images.
struct Grayscale {
  float probability = 0.1f;

  void check() const { require_probability("grayscale", probability); }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) grayscale(image);
  }
};

/// Albumentations' RandomBrightnessContrast with its defaults: level * (1 + c) + 255 * b, cut off,
/// with c and b drawn to both sides of zero.
struct BrightnessContrast {
  float brightness = 0.2f, contrast = 0.2f;  // the largest b and c, 0 to 1
  float probability = 0.5f;

  void check() const {
    const char* who = "brightness_contrast";
    require_setting(brightness >= 0 && brightness <= 1, who, "brightness", brightness, "0 to 1");
    require_setting(contrast >= 0 && contrast <= 1, who, "contrast", contrast, "0 to 1");
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto factor = detail::draw_factor(generator, contrast);
    const auto offset = 255 * generator.uniform(-brightness, brightness);
    look_up(image, level_table([=](float level) { return factor * level + offset; }));
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
