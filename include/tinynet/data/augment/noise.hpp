#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>

namespace tinynet::inline TINYNET_ABI::data {

namespace detail {

/// The middles of 2048 equally likely parts of the upper half of a normal distribution, scaled to a
/// mean square of one: a level's noise is a look-up by 11 random bits and a sign instead of a
/// logarithm and a cosine. The largest is about 3.7 deviations.
template <class = void>
const std::array<float, 2048>& half_normal() {
  static const auto table = [] {
    std::array<float, 2048> quantiles;
    double x = 0, squares = 0;
    for (std::size_t i = 0; i < quantiles.size(); ++i) {
      const double beyond = 1 - (static_cast<double>(i) + 0.5) / 2048;
      for (int step = 0; step < 8; ++step) {  // Newton's, from the quantile before
        const double density = std::sqrt(2 / std::numbers::pi) * std::exp(-x * x / 2);
        x += (std::erfc(x / std::numbers::sqrt2) - beyond) / density;
      }
      quantiles[i] = static_cast<float>(x);
      squares += x * x;
    }
    for (auto& q : quantiles) q *= static_cast<float>(std::sqrt(2048 / squares));
    return quantiles;
  }();
  return table;
}

}  // namespace detail

/// Adds normal noise to every level, independent in each pixel and channel (Albumentations'
/// GaussNoise, whose `var_limit` are the squares).
struct GaussianNoise {
  Interval deviation = {3.2f, 7.1f};  // in levels of 255, 0 or more; one for the whole image
  float probability = 0.5f;

  void check() const {
    require_interval("gaussian_noise", "deviation", deviation, 0, 255, "0 to 255");
    require_probability("gaussian_noise", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto& quantiles = detail::half_normal();
    const auto width = deviation.draw(generator);
    const float signed_width[] = {width, -width};
    const auto key = generator.key();
    const auto size = std::ssize(image.pixels);
    for (std::int64_t i = 0; i < size; i += 8) {  // a block of random bits holds eight times 16
      const auto words = random::block(key, static_cast<std::uint64_t>(i / 8));
      const auto count = std::min<std::int64_t>(8, size - i);
      for (std::int64_t j = 0; j < count; ++j) {
        const auto bits = words[static_cast<std::size_t>(j / 2)] >> (j % 2 * 16);
        auto& level = image.pixels[static_cast<std::size_t>(i + j)];
        const auto noise = quantiles[bits & 2047] * signed_width[bits >> 11 & 1];
        level = static_cast<std::uint8_t>(
            std::clamp(static_cast<float>(level) + noise + 0.5f, 0.0f, 255.0f));
      }
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
