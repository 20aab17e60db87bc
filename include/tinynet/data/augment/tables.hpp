#pragma once

#include <algorithm>
#include <array>

#include <tinynet/data/augment/image.hpp>

/// What maps levels to levels: 256 results, looked up.
namespace tinynet::inline TINYNET_ABI::data {

using LevelTable = std::array<std::uint8_t, 256>;

/// The table of `f`, whose results are limited to [0, 255] and their fractions cut off.
template <class F>
LevelTable level_table(F f) {
  LevelTable table;
  for (int level = 0; level < 256; ++level) {
    const auto value = f(static_cast<float>(level));
    table[static_cast<std::size_t>(level)] =
        static_cast<std::uint8_t>(std::clamp(value, 0.0f, 255.0f));
  }
  return table;
}

template <class = void>
void look_up(Image& image, const LevelTable& table) {
  for (auto& level : image.pixels) level = table[level];
}
template <class = void>
void look_up(Image& image, const LevelTable& table, std::int64_t channel) {
  const auto size = std::ssize(image.pixels);
  auto* pixels = image.pixels.data();
  for (auto i = channel; i < size; i += image.channels) pixels[i] = table[pixels[i]];
}

}  // namespace tinynet::inline TINYNET_ABI::data
