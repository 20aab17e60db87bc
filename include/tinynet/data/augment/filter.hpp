#pragma once

#include <algorithm>
#include <cmath>

#include <tinynet/core/scratch.hpp>
#include <tinynet/core/simd_words.hpp>
#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/transform.hpp>
#include <tinynet/kernels/loops.hpp>

/// Sharper and softer, for any number of channels: a neighbour in a row is `channels` bytes away.
namespace tinynet::inline TINYNET_ABI::data {

/// Mixes with a smoothed image, `factor * image + (1 - factor) * smooth`, limited to [0, 255] and cut
/// off (torchvision's adjust_sharpness); `factor` 0 or more. The outermost pixels stay as they are.
template <class = void>
void adjust_sharpness(Image& image, float factor) {
  if (image.height <= 2 || image.width <= 2) return;
  const auto step = image.channels, row = image.width * step;
  Scratch scratch;
  const auto copy = scratch.take<std::uint8_t>(std::ssize(image.pixels));
  std::copy(image.pixels.begin(), image.pixels.end(), copy.begin());
  for (std::int64_t y = 1; y + 1 < image.height; ++y) {
    const auto* from = copy.data() + y * row + step;
    auto* to = image.row(y) + step;
    kernels::for_lanes<float>(row - 2 * step, [&](std::int64_t i, auto lanes) {
      const auto at = [&](std::int64_t offset) {
        return lanes.template load_integers<float>(from + i + offset);
      };
      const auto three = [&](std::int64_t offset) {
        return at(offset - step) + at(offset) + at(offset + step);
      };
      const auto centre = at(0);
      const auto sum = three(-row) + three(0) + three(row) + 4 * centre;
      const auto smooth = simd::trunc(sum / 13.0f + 0.5f);
      const auto mixed = smooth + factor * (centre - smooth);  // what is flat stays as it is
      lanes.store_integers(to + i, simd::min(simd::max(mixed, 0.0f), 255.0f));
    });
  }
}

/// Blurs by a Gaussian of `sigma` pixels in a window of `size` x `size`, the border mirrored
/// (torchvision's gaussian_blur). Throws ShapeError if half the window is not smaller than the image.
template <class = void>
void gaussian_blur(Image& image, std::int64_t size, float sigma) {
  const auto reach = size / 2, step = image.channels;
  if (reach >= std::min(image.height, image.width)) {
    throw ShapeError(Message("gaussian_blur", "the window does not fit the image")
                         .fact("window", size)
                         .fact("image", image.shape(), "(h, w, c)"));
  }
  Scratch scratch;
  const auto weights = scratch.take<float>(size);
  float total = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto x = (static_cast<float>(i) - static_cast<float>(size - 1) * 0.5f) / sigma;
    total += weights[static_cast<std::size_t>(i)] = std::exp(-0.5f * x * x);
  }
  for (auto& weight : weights) weight /= total;

  const auto row = image.width * step, wide = row + 2 * reach * step;
  const auto across = scratch.take<float>(image.height * row);
  const auto framed = scratch.take<std::uint8_t>(wide);
  for (std::int64_t y = 0; y < image.height; ++y) {
    const auto* from = image.row(y);
    std::copy_n(from, row, framed.data() + reach * step);
    for (std::int64_t x = 1; x <= reach; ++x) {
      const auto* left = from + beyond(-x, image.width, Border::reflect) * step;
      const auto* right = from + beyond(image.width - 1 + x, image.width, Border::reflect) * step;
      std::copy_n(left, step, framed.data() + (reach - x) * step);
      std::copy_n(right, step, framed.data() + row + (reach + x - 1) * step);
    }
    kernels::for_lanes<float>(row, [&](std::int64_t i, auto lanes) {
      simd::batch<float> sum(0.0f);
      for (std::int64_t t = 0; t < size; ++t) {
        const auto level = lanes.template load_integers<float>(framed.data() + i + t * step);
        sum = simd::fma(level, simd::batch<float>(weights[static_cast<std::size_t>(t)]), sum);
      }
      lanes.store(across.data() + y * row + i, sum);
    });
  }
  for (std::int64_t y = 0; y < image.height; ++y) {
    kernels::for_lanes<float>(row, [&](std::int64_t i, auto lanes) {
      simd::batch<float> sum(0.5f);
      for (std::int64_t t = 0; t < size; ++t) {
        const auto* from =
            across.data() + beyond(y + t - reach, image.height, Border::reflect) * row + i;
        sum = simd::fma(lanes.load(from), simd::batch<float>(weights[static_cast<std::size_t>(t)]),
                        sum);
      }
      lanes.store_integers(image.row(y) + i, simd::min(sum, 255.0f));
    });
  }
}

/// Sharper or softer by a fixed factor (PyTorch's RandomAdjustSharpness).
struct Sharpness {
  float factor = 2;  // 0: smooth, 1: as it is, 2: sharper; 0 or more
  float probability = 0.5f;

  void check() const {
    require_setting(factor >= 0, "sharpness", "factor", factor, "0 or more");
    require_probability("sharpness", probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) adjust_sharpness(image, factor);
  }
};

/// Blurs by a Gaussian of random width (PyTorch's GaussianBlur).
struct GaussianBlur {
  std::int64_t kernel_size = 3;  // pixels, odd
  Interval sigma = {0.1f, 2};    // pixels, above 0
  float probability = 1;

  void check() const {
    const char* who = "gaussian_blur";
    require_setting(kernel_size > 0 && kernel_size % 2 == 1, who, "kernel_size",
                    static_cast<double>(kernel_size), "an odd number, 1 or more");
    require_interval(who, "sigma", sigma, 1e-3, 1e6, "0.001 or more");
    require_probability(who, probability);
  }
  template <class = void>
  void operator()(Image& image, random::Generator& generator) const {
    if (generator.chance(probability)) gaussian_blur(image, kernel_size, sigma.draw(generator));
  }
};

}  // namespace tinynet::inline TINYNET_ABI::data
