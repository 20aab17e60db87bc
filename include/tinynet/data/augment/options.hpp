#pragma once

#include <cstdint>

#include <tinynet/core/random.hpp>
#include <tinynet/core/require_setting.hpp>

/// What the options of transforms are made of, and the checks they share. Options are checked once,
/// when a struct becomes a Transform: StateError then names the one that is out of range.
namespace tinynet::inline TINYNET_ABI::data {

/// Where a number is drawn from, uniformly unless said otherwise.
struct Interval {
  float low = 0, high = 0;

  float draw(random::Generator& generator) const { return generator.uniform(low, high); }
};

/// The same for whole numbers; both ends belong to it.
struct Count {
  std::int64_t low = 0, high = 0;

  std::int64_t draw(random::Generator& generator) const {
    return low + generator.below(static_cast<std::uint32_t>(high - low + 1));
  }
};

/// What lies beyond the edge of an image: a colour, black where the transform has no `fill`, or
/// the image mirrored at the centre of its outermost pixels (PyTorch's "reflect").
enum class Border { zero, fill = zero, reflect };

/// Where the pixel stands that is seen at `at`, less than a size beyond [0, size); -1: beyond a border
/// without pixels.
constexpr std::int64_t beyond(std::int64_t at, std::int64_t size, Border border) {
  if (at >= 0 && at < size) return at;
  if (border == Border::fill) return -1;
  return at < 0 ? -at : 2 * (size - 1) - at;
}

/// A grey level for all channels, or red, green and blue, each 0 to 255. Grey images take the first.
struct Fill {
  int channels[3] = {};

  constexpr Fill(int grey = 0) : channels{grey, grey, grey} {}
  constexpr Fill(int red, int green, int blue) : channels{red, green, blue} {}
  std::uint8_t operator[](std::int64_t channel) const {
    return static_cast<std::uint8_t>(channels[channel]);
  }
};

inline void require_probability(const char* who, double probability) {
  require_setting(probability >= 0 && probability <= 1, who, "probability", probability, "0 to 1");
}
/// Throws StateError unless low <= first <= second <= high.
template <class Ends>  // Interval or Count
void require_interval(const char* who, const char* setting, const Ends& ends, double low,
                      double high, const char* expected) {
  const auto first = static_cast<double>(ends.low), second = static_cast<double>(ends.high);
  require_setting(first >= low && first <= high, who, {setting, ".low"}, first, expected);
  require_setting(second >= low && second <= high, who, {setting, ".high"}, second, expected);
  require_setting(second >= first, who, {setting, ".high"}, second, "low or more");
}
inline void require_fill(const char* who, const Fill& fill) {
  for (const int level : fill.channels) {
    require_setting(level >= 0 && level <= 255, who, "fill", level, "0 to 255");
  }
}

}  // namespace tinynet::inline TINYNET_ABI::data
