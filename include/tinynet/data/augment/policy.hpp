#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <tinynet/data/augment/adjust.hpp>
#include <tinynet/data/augment/affine.hpp>
#include <tinynet/data/augment/filter.hpp>
#include <tinynet/data/augment/levels.hpp>

/// Policies that draw from a fixed set of operations, at one strength for all of them.
namespace tinynet::inline TINYNET_ABI::data {

/// The operations of RandAugment, in torchvision's order. `color` is left out in grey images.
enum class PolicyOp {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize
};
inline constexpr std::uint32_t policy_ops = 14;

/// What strength 1 means. All are reached in proportion; `least_bits` and solarize's threshold of 0
/// from 8 bits and 255 downwards.
struct PolicyRanges {
  double shear;                     // pixels to the side for each pixel along
  double translate_x, translate_y;  // pixels
  double rotate;                    // degrees
  double enhance;                   // of brightness, color, contrast, sharpness: factor 1 + this
  int least_bits;                   // of posterize
};

/// torchvision's: the translation grows with the image.
template <class = void>
PolicyRanges rand_augment_ranges(const Image& image) {
  const auto side = [](std::int64_t pixels) { return 150.0 / 331 * static_cast<double>(pixels); };
  return {0.3, side(image.width), side(image.height), 30, 0.9, 4};
}
/// The wide ranges of TrivialAugment.
constexpr PolicyRanges trivial_augment_ranges() { return {0.99, 32, 32, 135, 0.99, 2}; }

/// Applies an operation to an image of 1 or 3 channels. `strength` is 0 to 1; a negative one goes to
/// the other side: shears, translates and rotates that way, takes away what `enhance` would add.
template <class = void>
void apply(PolicyOp op, Image& image, double strength, const PolicyRanges& ranges,
           const Sampling& sampling) {
  const auto factor = static_cast<float>(1 + ranges.enhance * strength);
  AffineMove move;
  switch (op) {
    case PolicyOp::identity:
      return;
    case PolicyOp::shear_x:
    case PolicyOp::shear_y: {
      const auto degrees = std::atan(ranges.shear * strength) * 180 / std::numbers::pi;
      (op == PolicyOp::shear_x ? move.shear_x : move.shear_y) = degrees;
      move.centre_x = -static_cast<double>(image.width) / 2;
      move.centre_y = -static_cast<double>(image.height) / 2;
      return affine(image, move, sampling);
    }
    case PolicyOp::translate_x:
    case PolicyOp::translate_y:
      if (op == PolicyOp::translate_x) move.right = std::trunc(ranges.translate_x * strength);
      else move.down = std::trunc(ranges.translate_y * strength);
      return affine(image, move, sampling);
    case PolicyOp::rotate:
      move.angle = -ranges.rotate * strength;  // counter-clockwise, as torchvision's rotate
      return affine(image, move, sampling);
    case PolicyOp::brightness:
      return adjust_brightness(image, factor);
    case PolicyOp::color:
      return adjust_saturation(image, factor);
    case PolicyOp::contrast:
      return adjust_contrast(image, factor);
    case PolicyOp::sharpness:
      return adjust_sharpness(image, factor);
    case PolicyOp::posterize: {
      const auto dropped = std::nearbyint((8 - ranges.least_bits) * std::abs(strength));
      return posterize(image, 8 - static_cast<int>(dropped));
    }
    case PolicyOp::solarize:
      return solarize(image, static_cast<float>(255 * (1 - std::abs(strength))));
    case PolicyOp::autocontrast:
      return autocontrast(image);
    case PolicyOp::equalize:
      return equalize(image);
  }
}

namespace detail {
/// An operation that changes an image of this many channels, all equally likely, and a random side.
template <class = void>
void apply_any(Image& image, double strength, const PolicyRanges& ranges, const Sampling& sampling,
               random::Generator& generator) {
  const bool grey = image.channels == 1;
  auto op = generator.below(policy_ops - (grey ? 1 : 0));
  if (grey && op >= static_cast<std::uint32_t>(PolicyOp::color)) ++op;
  apply(static_cast<PolicyOp>(op), image, generator.chance(0.5f) ? -strength : strength, ranges,
        sampling);
}
}  // namespace detail

/// A few operations out of all, each equally likely, one after another at the same strength (Cubuk,
/// Zoph, Shlens, Le, "RandAugment: practical automated data augmentation with a reduced search space",
/// 2019). Ranges and defaults are torchvision's.
struct RandAugment {
  int num_ops = 2;          // 0 or more; the same may come twice
  float magnitude = 9;      // 0 to num_magnitude_bins - 1
  float magnitude_std = 0;  // spread of the magnitude from operation to operation, limited to the
                            // bins (timm's mstd); infinite: any magnitude up to `magnitude`
  int num_magnitude_bins = 31;  // 2 or more
  Interpolation interpolation = Interpolation::nearest;
  Fill fill = 0;

  void check() const {
    const char* who = "rand_augment";
    require_setting(num_ops >= 0, who, "num_ops", num_ops, "0 or more");
    require_setting(num_magnitude_bins >= 2, who, "num_magnitude_bins", num_magnitude_bins,
                    "2 or more");
    require_setting(magnitude >= 0 && magnitude <= static_cast<float>(num_magnitude_bins - 1), who,
                    "magnitude", magnitude, "0 to num_magnitude_bins - 1");
    require_setting(magnitude_std >= 0, who, "magnitude_std", magnitude_std, "0 or more");
    require_fill(who, fill);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("rand_augment", image);
    const auto ranges = rand_augment_ranges(image);
    const auto bins = static_cast<float>(num_magnitude_bins - 1);
    for (int i = 0; i < num_ops; ++i) {
      auto level = magnitude;
      if (std::isinf(magnitude_std)) level = generator.uniform(0, magnitude);
      else if (magnitude_std > 0) level += magnitude_std * generator.normal();
      const auto strength = std::clamp(level, 0.0f, bins) / bins;
      detail::apply_any(image, strength, ranges, {interpolation, Border::fill, fill}, generator);
    }
  }
};

/// One operation at a random strength (Müller, Hutter, "TrivialAugment: tuning-free yet
/// state-of-the-art data augmentation", 2021), in the paper's wide ranges (torchvision's
/// TrivialAugmentWide): a translation may move a small image out of sight.
struct TrivialAugment {
  int num_magnitude_bins = 31;  // 2 or more
  Interpolation interpolation = Interpolation::nearest;
  Fill fill = 0;

  void check() const {
    require_setting(num_magnitude_bins >= 2, "trivial_augment", "num_magnitude_bins",
                    num_magnitude_bins, "2 or more");
    require_fill("trivial_augment", fill);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("trivial_augment", image);
    const auto bin = generator.below(static_cast<std::uint32_t>(num_magnitude_bins));
    const auto strength = static_cast<double>(bin) / (num_magnitude_bins - 1);
    detail::apply_any(image, strength, trivial_augment_ranges(),
                      {interpolation, Border::fill, fill}, generator);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
