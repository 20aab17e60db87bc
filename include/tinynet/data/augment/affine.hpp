#pragma once

#include <cmath>
#include <limits>
#include <numbers>

#include <tinynet/data/augment/transform.hpp>
#include <tinynet/data/augment/warp.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// A rotation, scaling, shear and translation, in the order and with the signs of
/// torchvision.transforms.functional.affine.
struct AffineMove {
  double angle = 0;                   // degrees, clockwise
  double right = 0, down = 0;         // pixels
  double scale = 1;                   // above 0
  double shear_x = 0, shear_y = 0;    // degrees
  double centre_x = 0, centre_y = 0;  // what stays where it is, pixels from the image's centre
};

/// Applies the move to an image of 1 or 3 channels.
template <class = void>
void affine(Image& image, const AffineMove& move, const Sampling& sampling = {}) {
  require_grey_or_rgb("affine", image);
  constexpr double radians = std::numbers::pi / 180;
  const double turn = move.angle * radians;
  const double sx = move.shear_x * radians, sy = move.shear_y * radians;
  // The matrix [p q; r s] of rotation and shears has determinant one: its inverse is [s -q; -r p].
  const double p = std::cos(turn - sy) / std::cos(sy);
  const double q = -p * std::tan(sx) - std::sin(turn);
  const double r = std::sin(turn - sy) / std::cos(sy);
  const double s = -r * std::tan(sx) + std::cos(turn);
  const double a = s / move.scale, b = -q / move.scale, d = -r / move.scale, e = p / move.scale;
  const double centre_x = static_cast<double>(image.width) / 2 + move.centre_x;
  const double centre_y = static_cast<double>(image.height) / 2 + move.centre_y;
  const double c = centre_x - a * (centre_x + move.right) - b * (centre_y + move.down);
  const double f = centre_y - d * (centre_x + move.right) - e * (centre_y + move.down);
  Mapping mapping;
  mapping.a = static_cast<float>(a), mapping.b = static_cast<float>(b);
  mapping.c = static_cast<float>(c), mapping.d = static_cast<float>(d);
  mapping.e = static_cast<float>(e), mapping.f = static_cast<float>(f);
  warp(image, mapping, sampling);
}

/// Rotates to both sides, moves, scales and shears at random (PyTorch's RandomAffine; its default
/// interpolation is nearest).
struct RandomAffine {
  float degrees = 10;              // rotated by up to this to either side, 0 to 180
  float translate = 0;             // moved by up to this fraction of each side, 0 to 1
  Interval scale = {1, 1};         // above 0
  float shear_x = 0, shear_y = 0;  // sheared by up to this to either side, degrees, below 90
  Interpolation interpolation = Interpolation::bilinear;
  Border border = Border::fill;
  Fill fill = 0;
  float probability = 1;

  void check() const {
    const char* who = "random_affine";
    require_setting(degrees >= 0 && degrees <= 180, who, "degrees", degrees, "0 to 180");
    require_setting(translate >= 0 && translate <= 1, who, "translate", translate, "0 to 1");
    require_interval(who, "scale", scale, std::numeric_limits<float>::min(), 1e6, "above 0");
    require_setting(shear_x >= 0 && shear_x < 90, who, "shear_x", shear_x, "0 to 90");
    require_setting(shear_y >= 0 && shear_y < 90, who, "shear_y", shear_y, "0 to 90");
    require_fill(who, fill);
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto either_side = [&](float most) { return generator.uniform(-most, most); };
    AffineMove move;
    move.angle = either_side(degrees);
    move.right = std::round(either_side(translate) * static_cast<float>(image.width));
    move.down = std::round(either_side(translate) * static_cast<float>(image.height));
    move.scale = scale.draw(generator);
    move.shear_x = either_side(shear_x);
    move.shear_y = either_side(shear_y);
    affine(image, move, {interpolation, border, fill});
  }
};

/// Albumentations' ShiftScaleRotate with its defaults.
struct ShiftScaleRotate {
  float shift = 0.0625f;  // moved by up to this fraction of each side, 0 to 1
  float scale = 0.1f;     // enlarged or shrunk by up to this share, at least 0 and below 1
  float rotate = 45;      // degrees to either side, 0 to 180
  Interpolation interpolation = Interpolation::bilinear;
  Border border = Border::reflect;
  Fill fill = 0;
  float probability = 0.5f;

  void check() const {
    const char* who = "shift_scale_rotate";
    require_setting(shift >= 0 && shift <= 1, who, "shift", shift, "0 to 1");
    require_setting(scale >= 0 && scale < 1, who, "scale", scale, "at least 0 and below 1");
    require_setting(rotate >= 0 && rotate <= 180, who, "rotate", rotate, "0 to 180");
    require_fill(who, fill);
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    AffineMove move;
    move.angle = generator.uniform(-rotate, rotate);
    move.scale = generator.uniform(1 - scale, 1 + scale);
    move.right = generator.uniform(-shift, shift) * static_cast<double>(image.width);
    move.down = generator.uniform(-shift, shift) * static_cast<double>(image.height);
    affine(image, move, {interpolation, border, fill});
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
