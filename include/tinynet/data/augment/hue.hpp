#pragma once

#include <cmath>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/pixels.hpp>
#include <tinynet/data/augment/tables.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Changes in hue, saturation and value, the hexcone model of colour (Smith, "Color gamut transform
/// pairs", 1978).
namespace tinynet::inline TINYNET_ABI::data {

/// Adds to hue, saturation and value of each pixel. `hue` in turns of the colour circle; the
/// others as fractions, the sums limited to [0, 1]. Levels are rounded. A grey image has value
/// alone.
template <class = void>
void shift_hsv(Image& image, float hue, float saturation, float value) {
  require_grey_or_rgb("hsv", image);
  if (image.channels == 1) {
    look_up(image, level_table([=](float level) { return level + 255 * value + 0.5f; }));
    return;
  }
  const auto sixths = 6 * (hue - std::floor(hue));
  map_colours(image, [=](auto& red, auto& green, auto& blue) {
    using Lanes = std::remove_reference_t<decltype(red)>;
    const auto one = Lanes(1.0f);
    auto v = simd::max(red, simd::max(green, blue));
    const auto range = v - simd::min(red, simd::min(green, blue));
    const auto inverse = 1 / simd::max(range, one);  // grey pixels: hue 0
    // In sixths of a turn, and one turn more than it may be, so that it is not negative.
    const auto h = simd::select(v == red, (green - blue) * inverse + 6.0f,
                                simd::select(v == green, (blue - red) * inverse + 8.0f,
                                             (red - green) * inverse + 10.0f)) +
                   sixths;
    auto s = range / simd::max(v, one);
    s = simd::min(simd::max(s + saturation, 0.0f), 1.0f);
    v = simd::min(simd::max(v + 255 * value, 0.0f), 255.0f);
    // A channel falls from v by v * s, along the edges of a trapezoid around the circle.
    const auto channel = [&](float begin) {
      auto k = h + begin;
      k = k - 6 * simd::trunc(k / 6.0f);
      const auto edge = simd::max(simd::min(simd::min(k, 4 - k), 1.0f), 0.0f);
      return v - v * s * edge + 0.5f;
    };
    red = channel(5), green = channel(3), blue = channel(1);
  });
}

/// Turns the colour circle by a number of turns (torchvision's adjust_hue, rounded where that cuts
/// off). A grey image stays as it is.
template <class = void>
void adjust_hue(Image& image, float turns) {
  require_grey_or_rgb("hue", image);
  if (image.channels == 3) shift_hsv(image, turns, 0, 0);
}

/// Turns the colour circle by up to `amount` turns to either side. Grey images stay as they are.
struct Hue {
  float amount = 0.1f;  // 0 to 0.5
  float probability = 1;

  void check() const {
    require_setting(amount >= 0 && amount <= 0.5f, "hue", "amount", amount, "0 to 0.5");
    require_probability("hue", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) adjust_hue(image, generator.uniform(-amount, amount));
  }
};

/// Albumentations' HueSaturationValue with its defaults, in OpenCV's units: hue in 180ths of the
/// circle, saturation and value in 255ths, each drawn to both sides of zero. In grey images only
/// the value changes.
struct HueSaturationValue {
  float hue = 20;         // 0 to 90
  float saturation = 30;  // 0 to 255
  float value = 20;       // 0 to 255
  float probability = 0.5f;

  void check() const {
    const char* who = "hue_saturation_value";
    require_setting(hue >= 0 && hue <= 90, who, "hue", hue, "0 to 90");
    require_setting(saturation >= 0 && saturation <= 255, who, "saturation", saturation,
                    "0 to 255");
    require_setting(value >= 0 && value <= 255, who, "value", value, "0 to 255");
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto h = generator.uniform(-hue, hue) / 180;
    const auto s = generator.uniform(-saturation, saturation) / 255;
    const auto v = generator.uniform(-value, value) / 255;
    shift_hsv(image, h, s, v);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
