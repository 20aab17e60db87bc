#pragma once

#include <algorithm>
#include <cmath>

#include <tinynet/core/scratch.hpp>
#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Moves by whole pixels.
namespace tinynet::inline TINYNET_ABI::data {

/// Replaces the image by a window of its size that begins `down` pixels lower and `right` pixels
/// further right; what lies outside is `border`. A mirrored border reaches less than one image far.
template <class = void>
void shift(Image& image, std::int64_t down, std::int64_t right, Border border,
           const Fill& fill = {}) {
  if (down == 0 && right == 0) return;
  const auto height = image.height, width = image.width, channels = image.channels;

  Scratch scratch;
  const auto copy = scratch.take<std::uint8_t>(std::ssize(image.pixels));
  std::copy(image.pixels.begin(), image.pixels.end(), copy.begin());
  // Columns [first, last) come from inside the image, in one piece.
  const auto first = std::clamp(-right, std::int64_t{0}, width);
  const auto last = std::clamp(width - right, first, width);
  for (std::int64_t y = 0; y < height; ++y) {
    auto* to = image.row(y);
    const auto source = beyond(y + down, height, border);
    const auto* from = copy.data() + std::max<std::int64_t>(source, 0) * width * channels;
    const auto edge = [&](std::int64_t begin, std::int64_t end) {
      for (auto x = begin; x < end; ++x) {
        const auto column = source < 0 ? -1 : beyond(x + right, width, border);
        for (std::int64_t c = 0; c < channels; ++c) {
          to[x * channels + c] = column < 0 ? fill[c] : from[column * channels + c];
        }
      }
    };
    if (source < 0) {
      edge(0, width);
      continue;
    }
    edge(0, first);
    std::copy_n(from + (first + right) * channels, (last - first) * channels,
                to + first * channels);
    edge(last, width);
  }
}

/// Pads the image on every side and cuts out a window of the old size, every place equally likely.
struct RandomCrop {
  std::int64_t padding = 4;  // pixels, less than height and width where the border reflects
  Border border = Border::zero;
  Fill fill = 0;
  float probability = 1;

  void check() const {
    require_setting(padding >= 0 && padding < 1 << 20, "random_crop", "padding",
                    static_cast<double>(padding), "0 or more");
    require_fill("random_crop", fill);
    require_probability("random_crop", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("random_crop", image);
    if (border == Border::reflect && padding >= std::min(image.height, image.width)) {
      throw ShapeError(Message("random_crop", "the padding does not fit the image")
                           .fact("padding", padding)
                           .fact("image", image.shape(), "(h, w, c)"));
    }
    if (probability < 1 && !generator.chance(probability)) return;  // draws nothing where certain
    const Count places{-padding, padding};
    const auto down = places.draw(generator), right = places.draw(generator);
    shift(image, down, right, border, fill);
  }
};

/// Moves the image by whole pixels to any side, at most by a fraction of its width and height
/// (the `translate` of PyTorch's RandomAffine).
struct RandomTranslate {
  float x = 0.1f, y = 0.1f;  // fractions of width and height, 0 to 1; mirrored: below 1
  Border border = Border::fill;
  Fill fill = 0;
  float probability = 1;

  void check() const {
    const auto require_fraction = [this](const char* name, float value) {
      if (border == Border::reflect) {
        require_setting(value >= 0 && value < 1, "random_translate", name, value,
                        "at least 0 and below 1, where the border reflects");
      }
      require_setting(value >= 0 && value <= 1, "random_translate", name, value, "0 to 1");
    };
    require_fraction("x", x);
    require_fraction("y", y);
    require_fill("random_translate", fill);
    require_probability("random_translate", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    require_grey_or_rgb("random_translate", image);
    if (!generator.chance(probability)) return;
    const auto draw = [&](float fraction, std::int64_t size) {
      const auto most = fraction * static_cast<float>(size);
      const auto pixels = static_cast<std::int64_t>(std::lround(generator.uniform(-most, most)));
      return border == Border::reflect ? std::clamp(pixels, 1 - size, size - 1) : pixels;
    };
    const auto down = draw(y, image.height), right = draw(x, image.width);
    shift(image, down, right, border, fill);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
