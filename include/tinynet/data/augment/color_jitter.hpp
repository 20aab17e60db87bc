#pragma once

#include <array>
#include <utility>

#include <tinynet/data/augment/adjust.hpp>
#include <tinynet/data/augment/hue.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// Brightness, contrast, saturation and hue in random order (PyTorch's ColorJitter). Each of the
/// first three by a factor between 1 - x and 1 + x, the hue by up to x turns to either side; 0: not
/// at all.
struct ColorJitter {
  float brightness = 0, contrast = 0, saturation = 0;  // 0 to 1
  float hue = 0;                                       // 0 to 0.5
  float probability = 1;

  void check() const {
    const char* who = "color_jitter";
    require_setting(brightness >= 0 && brightness <= 1, who, "brightness", brightness, "0 to 1");
    require_setting(contrast >= 0 && contrast <= 1, who, "contrast", contrast, "0 to 1");
    require_setting(saturation >= 0 && saturation <= 1, who, "saturation", saturation, "0 to 1");
    require_setting(hue >= 0 && hue <= 0.5f, who, "hue", hue, "0 to 0.5");
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    std::array<int, 4> order{0, 1, 2, 3};
    for (std::uint32_t left = 4; left > 1; --left) {
      std::swap(order[left - 1], order[generator.below(left)]);
    }
    const auto factor = [&](float amount) { return detail::draw_factor(generator, amount); };
    for (const int part : order) {
      if (part == 0 && brightness > 0) adjust_brightness(image, factor(brightness));
      if (part == 1 && contrast > 0) adjust_contrast(image, factor(contrast));
      if (part == 2 && saturation > 0) adjust_saturation(image, factor(saturation));
      if (part == 3 && hue > 0) adjust_hue(image, generator.uniform(-hue, hue));
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
