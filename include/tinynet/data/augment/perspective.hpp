#pragma once

#include <array>

#include <tinynet/data/augment/transform.hpp>
#include <tinynet/data/augment/warp.hpp>

namespace tinynet::inline TINYNET_ABI::data {

/// A point of an image, in pixels.
struct Point {
  double x = 0, y = 0;
};

/// Moves the image's corners (0, 0), (w-1, 0), (w-1, h-1), (0, h-1) to `corners`, as
/// torchvision.transforms.functional.perspective does. For 1 or 3 channels and at least two pixels
/// each way; a smaller image stays as it is.
template <class = void>
void perspective(Image& image, const std::array<Point, 4>& corners, const Sampling& sampling = {}) {
  require_grey_or_rgb("perspective", image);
  if (image.width < 2 || image.height < 2) return;
  // The unit square onto four corners (Heckbert, "Fundamentals of texture mapping and image
  // warping", 1989):  [a b c; d e f; g h 1].
  const auto [p0, p1, p2, p3] = corners;
  const double dx1 = p1.x - p2.x, dx2 = p3.x - p2.x, sx = p0.x - p1.x + p2.x - p3.x;
  const double dy1 = p1.y - p2.y, dy2 = p3.y - p2.y, sy = p0.y - p1.y + p2.y - p3.y;
  const double area = dx1 * dy2 - dx2 * dy1;
  const double g = (sx * dy2 - dx2 * sy) / area, h = (dx1 * sy - sx * dy1) / area;
  const double a = p1.x - p0.x + g * p1.x, b = p3.x - p0.x + h * p3.x, c = p0.x;
  const double d = p1.y - p0.y + g * p1.y, e = p3.y - p0.y + h * p3.y, f = p0.y;
  // Backwards by the adjugate, scaled so that its last element is one; then onto the image.
  const double last = a * e - b * d;
  const double width = static_cast<double>(image.width - 1) / last;
  const double height = static_cast<double>(image.height - 1) / last;
  Mapping m;
  m.a = static_cast<float>((e - f * h) * width), m.b = static_cast<float>((c * h - b) * width);
  m.c = static_cast<float>((b * f - c * e) * width);
  m.d = static_cast<float>((f * g - d) * height), m.e = static_cast<float>((a - c * g) * height);
  m.f = static_cast<float>((c * d - a * f) * height);
  m.g = static_cast<float>((d * h - e * g) / last),
  m.h = static_cast<float>((b * g - a * h) / last);
  warp(image, m, sampling);
}

/// Moves each corner inwards at random (PyTorch's RandomPerspective).
struct RandomPerspective {
  float distortion = 0.5f;  // by up to this fraction of half a side, 0 to 1
  Interpolation interpolation = Interpolation::bilinear;
  Fill fill = 0;
  float probability = 0.5f;

  void check() const {
    const char* who = "random_perspective";
    require_setting(distortion >= 0 && distortion <= 1, who, "distortion", distortion, "0 to 1");
    require_fill(who, fill);
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (!generator.chance(probability)) return;
    const auto most = [&](std::int64_t size) {
      return static_cast<std::int64_t>(distortion * static_cast<float>(size / 2));
    };
    const Count across{0, most(image.width)}, along{0, most(image.height)};
    const auto draw = [&](const Count& inwards, std::int64_t size, bool far) {
      const auto by = inwards.draw(generator);
      return static_cast<double>(far ? size - 1 - by : by);
    };
    std::array<Point, 4> corners;
    for (int i = 0; i < 4; ++i) {
      corners[i].x = draw(across, image.width, i == 1 || i == 2);
      corners[i].y = draw(along, image.height, i >= 2);
    }
    perspective(image, corners, {interpolation, Border::fill, fill});
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
