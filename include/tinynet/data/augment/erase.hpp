#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Rectangles painted over, for images of 1 or 3 channels.
namespace tinynet::inline TINYNET_ABI::data {

struct Rectangle {
  std::int64_t top = 0, left = 0, height = 0, width = 0;  // pixels
};

/// What a rectangle is painted with: the colour `fill`, the image's own mean in each channel, or
/// random levels in each pixel and channel.
enum class Paint { fill, mean, random };

/// Paints over what of the rectangle lies within the image.
template <class = void>
void erase(Image& image, const Rectangle& rectangle, const Fill& fill) {
  const auto top = std::max<std::int64_t>(rectangle.top, 0);
  const auto left = std::max<std::int64_t>(rectangle.left, 0);
  const auto bottom = std::min(rectangle.top + rectangle.height, image.height);
  const auto right = std::min(rectangle.left + rectangle.width, image.width);
  for (auto y = top; y < bottom; ++y) {
    auto* at = image.row(y) + left * image.channels;
    for (auto x = left; x < right; ++x) {
      for (std::int64_t c = 0; c < image.channels; ++c) *at++ = fill[c];
    }
  }
}

/// Replaces the levels of a rectangle within the image by random ones.
template <class = void>
void erase(Image& image, const Rectangle& rectangle, random::Key key) {
  std::uint64_t drawn = 0;
  std::array<std::uint32_t, 4> words{};
  for (auto y = rectangle.top; y < rectangle.top + rectangle.height; ++y) {
    auto* at = image.row(y) + rectangle.left * image.channels;
    for (auto left = rectangle.width * image.channels; left > 0; --left, ++drawn) {
      if (drawn % 16 == 0) words = random::block(key, drawn / 16);
      *at++ = static_cast<std::uint8_t>(words[drawn / 4 % 4] >> (drawn % 4 * 8));
    }
  }
}

template <class = void>
Fill mean_colour(const Image& image) {
  Fill mean;
  for (std::int64_t c = 0; c < image.channels; ++c) {
    std::int64_t sum = 0;
    for (auto i = c; i < std::ssize(image.pixels); i += image.channels) {
      sum += image.pixels[static_cast<std::size_t>(i)];
    }
    const auto pixels = image.height * image.width;
    mean.channels[c] = static_cast<int>((sum + pixels / 2) / pixels);
  }
  return mean;
}

/// A rectangle of random area and aspect at a random place within the image (Zhong et al., "Random
/// erasing data augmentation", 2017), drawn as PyTorch's RandomErasing does: the aspect on a
/// logarithmic scale, ten tries, nothing if none fits.
struct RandomErasing {
  float probability = 0.5f;
  Interval scale = {0.02f, 0.33f};  // erased area / area of the image, 0 to 1
  Interval ratio = {0.3f, 3.3f};    // height / width, above 0
  Paint paint = Paint::fill;
  Fill fill = 0;

  void check() const {
    const char* who = "random_erasing";
    require_probability(who, probability);
    require_interval(who, "scale", scale, 0, 1, "0 to 1");
    require_interval(who, "ratio", ratio, 1e-3, 1e3, "0.001 to 1000");
    require_fill(who, fill);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("random_erasing", image);
    if (!generator.chance(probability)) return;
    const auto area = static_cast<float>(image.height * image.width);
    const Interval logarithm{std::log(ratio.low), std::log(ratio.high)};
    for (int tries = 0; tries < 10; ++tries) {
      const auto erased = area * scale.draw(generator);
      const auto aspect = std::exp(logarithm.draw(generator));
      Rectangle r;
      r.height = std::lround(std::sqrt(erased * aspect));
      r.width = std::lround(std::sqrt(erased / aspect));
      if (r.height >= image.height || r.width >= image.width) continue;
      r.top = Count{0, image.height - r.height}.draw(generator);
      r.left = Count{0, image.width - r.width}.draw(generator);
      if (paint == Paint::random) erase(image, r, generator.key());
      else erase(image, r, paint == Paint::mean ? mean_colour(image) : fill);
      return;
    }
  }
};

/// One square (DeVries, Taylor, "Improved regularization of convolutional neural networks with
/// cutout", 2017). Its centre is any pixel, so that part of it may lie outside; `inside` keeps the
/// whole square in the image.
struct Cutout {
  std::int64_t size = 8;  // pixels, 1 or more
  bool inside = false;
  Fill fill = 0;
  float probability = 1;

  void check() const {
    require_setting(size >= 1, "cutout", "size", static_cast<double>(size), "1 or more");
    require_fill("cutout", fill);
    require_probability("cutout", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("cutout", image);
    if (inside && size > std::min(image.height, image.width)) {
      throw ShapeError(Message("cutout", "the square does not fit the image")
                           .fact("size", size)
                           .fact("image", image.shape(), "(h, w, c)"));
    }
    if (!generator.chance(probability)) return;
    const auto place = [&](std::int64_t side) {
      return inside ? Count{0, side - size}.draw(generator)
                    : Count{0, side - 1}.draw(generator) - size / 2;
    };
    const auto top = place(image.height), left = place(image.width);
    erase(image, {top, left, size, size}, fill);
  }
};

/// Albumentations' CoarseDropout with its defaults: several rectangles within the image, which may
/// overlap.
struct CoarseDropout {
  Count holes = {8, 8};                   // 1 or more
  Count height = {8, 8}, width = {8, 8};  // pixels, 1 to the image's
  Fill fill = 0;
  float probability = 0.5f;

  void check() const {
    const char* who = "coarse_dropout";
    require_interval(who, "holes", holes, 1, 1 << 20, "1 or more");
    require_interval(who, "height", height, 1, 1 << 20, "1 or more");
    require_interval(who, "width", width, 1, 1 << 20, "1 or more");
    require_fill(who, fill);
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("coarse_dropout", image);
    if (height.high > image.height || width.high > image.width) {
      throw ShapeError(Message("coarse_dropout", "the holes do not fit the image")
                           .fact("holes", {"up to ", height.high, " x ", width.high})
                           .fact("image", image.shape(), "(h, w, c)"));
    }
    if (!generator.chance(probability)) return;
    for (auto left = holes.draw(generator); left > 0; --left) {
      Rectangle r{.height = height.draw(generator), .width = width.draw(generator)};
      r.top = Count{0, image.height - r.height}.draw(generator);
      r.left = Count{0, image.width - r.width}.draw(generator);
      erase(image, r, fill);
    }
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
