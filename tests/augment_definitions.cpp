// What each augmentation does to an image, against torchvision 0.14 on bytes: the results that
// tests/fixtures/make_augment.py stored.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <tinynet/data/augment.hpp>
#include <tinynet/io/safetensors.hpp>
#include "augmented.hpp"
#include "messages.hpp"

using namespace tinynet;
using namespace tinynet::tests;
using data::Border, data::Fill, data::Interpolation, data::PolicyOp;

namespace {

const io::Safetensors& fixture() {
  static const auto file = io::Safetensors::open(std::filesystem::path(__FILE__).parent_path() /
                                                 "fixtures" / "augment.safetensors");
  return file;
}

OwnedImage stored(const std::string& name) {
  return OwnedImage(fixture().read<std::uint8_t>(name));
}

/// Largest difference between what `f` makes of the two images and what is stored; how many levels
/// differ is limited too, so that a systematic error of one is found.
void check(const std::string& name, const std::function<void(data::Image&)>& f, int most = 0,
           double share = 0.02) {
  for (const std::string colours : {"grey", "rgb"}) {
    CAPTURE(name);
    CAPTURE(colours);
    auto ours = stored(colours);
    const auto theirs = stored(name + "." + colours);
    auto image = ours.view();
    f(image);
    int largest = 0;
    double differ = 0;
    for (std::size_t i = 0; i < ours.pixels.size(); ++i) {
      const int difference = std::abs(int(ours.pixels[i]) - int(theirs.pixels[i]));
      largest = std::max(largest, difference);
      differ += difference > 0;
    }
    CHECK(largest <= most);
    CHECK(differ <= share * static_cast<double>(ours.pixels.size()));
  }
}

}  // namespace

// Products and sums of bytes in float: a compiler that joins them may cut off the other side of a
// whole number.
TEST_CASE("mixtures: brightness, contrast, saturation, sharpness") {
  using Adjust = void (*)(data::Image&, float);
  const std::vector<std::tuple<std::string, Adjust, float>> cases{
      {"brightness_1.3", data::adjust_brightness, 1.3f},
      {"brightness_0.6", data::adjust_brightness, 0.6f},
      {"contrast_1.7", data::adjust_contrast, 1.7f},
      {"contrast_0.3", data::adjust_contrast, 0.3f},
      {"saturation_1.8", data::adjust_saturation, 1.8f},
      {"saturation_0.2", data::adjust_saturation, 0.2f},
      {"sharpness_2", data::adjust_sharpness, 2.0f},
      {"sharpness_0.4", data::adjust_sharpness, 0.4f},
  };
  for (const auto& [name, adjust, factor] : cases) {
    const auto function = adjust;
    const auto by = factor;
    check(
        name, [=](data::Image& image) { function(image, by); }, 1, 0.1);
  }
  check("grayscale", data::grayscale, 1);
}

TEST_CASE("brightness and contrast together, one after another, as Albumentations") {
  // The definition, with the draws of the same generator.
  const auto image = OwnedImage::noise(5, 6, 3);
  random::Generator generator(random::Key{3});
  generator.uniform();
  const auto factor = generator.uniform(0.6f, 1.4f), offset = 255 * generator.uniform(-0.3f, 0.3f);
  const data::BrightnessContrast both{.brightness = 0.3f, .contrast = 0.4f, .probability = 1};
  const auto result = image.with(both, 3);
  CHECK(result.pixels != image.pixels);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    const auto expected = std::clamp(factor * image.pixels[i] + offset, 0.0f, 255.0f);
    CHECK(std::abs(result.pixels[i] - std::floor(expected)) <= 1);
  }
}

TEST_CASE("hue, saturation and value") {
  // torchvision cuts off where we round: half of its levels are one lower.
  check(
      "hue_0.2", [](data::Image& image) { data::adjust_hue(image, 0.2f); }, 1, 0.9);
  check(
      "hue_-0.45", [](data::Image& image) { data::adjust_hue(image, -0.45f); }, 1, 0.9);
  check(
      "hsv_up", [](data::Image& image) { data::shift_hsv(image, 0.1f, 0.2f, 0.07f); }, 1);
  check(
      "hsv_down", [](data::Image& image) { data::shift_hsv(image, -0.3f, -0.15f, -0.08f); }, 1);
  const auto image = OwnedImage::noise(9, 9, 3);
  CHECK(image.with([](data::Image& x, random::Generator&) { data::adjust_hue(x, 0); }) == image);
  CHECK(image.with([](data::Image& x, random::Generator&) { data::adjust_hue(x, 1); }) == image);
}

TEST_CASE("levels: exact") {
  check("invert", data::invert);
  check("solarize_100", [](data::Image& image) { data::solarize(image, 100); });
  check("posterize_3", [](data::Image& image) { data::posterize(image, 3); });
  check("autocontrast", data::autocontrast);
  check("equalize", data::equalize);
  check("equalize_repeated", [](data::Image& image) {  // 81 times, or there is too little to spread
    OwnedImage large(9 * image.height, 9 * image.width, image.channels);
    const auto row_bytes = image.width * image.channels;
    for (std::int64_t y = 0; y < large.height; ++y) {
      for (std::int64_t x = 0; x < 9; ++x) {
        std::copy_n(image.row(y % image.height), row_bytes, large.view().row(y) + x * row_bytes);
      }
    }
    auto view = large.view();
    data::equalize(view);
    for (std::int64_t y = 0; y < image.height; ++y) {
      std::copy_n(view.row(y), row_bytes, image.row(y));
    }
  });
  const OwnedImage flat(4, 4, 3, 77);
  for (const auto& same :
       {data::Transform(data::Equalize{1}), data::Transform(data::Autocontrast{1})}) {
    CHECK(flat.with(same) == flat);
  }
}

TEST_CASE("gaussian blur") {
  check(
      "blur_3", [](data::Image& image) { data::gaussian_blur(image, 3, 0.7f); }, 1);
  check(
      "blur_5", [](data::Image& image) { data::gaussian_blur(image, 5, 1.4f); }, 1);
}

TEST_CASE("affine") {
  const auto with = [](const data::AffineMove& move, const data::Sampling& sampling) {
    return [=](data::Image& image) { data::affine(image, move, sampling); };
  };
  check("rotate_30", with({.angle = 30}, {}), 1);
  check("rotate_-75_nearest", with({.angle = -75}, {Interpolation::nearest}));
  check("affine",
        with({.angle = 20, .right = 1, .down = -2, .scale = 1.2, .shear_x = 10, .shear_y = -5}, {}),
        1);
  check("affine_fill",
        with({.angle = -35, .right = 2, .down = 1, .scale = 0.7, .shear_y = 12},
             {.fill = Fill(200, 30, 90)}),
        1);
  check("affine_mirrored",
        with({.angle = 40, .right = 1.5, .down = -0.75, .scale = 0.9}, {.border = Border::reflect}),
        1);
}

TEST_CASE("quarter turns and whole pixels move pixels and change none") {
  for (const std::int64_t side : {1, 2, 5, 16, 17, 33}) {
    for (const std::int64_t channels : {1, 3}) {
      for (const auto interpolation : {Interpolation::nearest, Interpolation::bilinear}) {
        CAPTURE(side);
        const auto image = OwnedImage::noise(side, side, channels);
        const auto turned = image.with([&](data::Image& x, random::Generator&) {
          data::affine(x, {.angle = 90}, {interpolation});
        });
        const auto moved = image.with([&](data::Image& x, random::Generator&) {
          data::affine(x, {.right = 2, .down = -1}, {interpolation, Border::fill, 9});
        });
        bool same = true;
        for (std::int64_t y = 0; y < side; ++y) {
          for (std::int64_t x = 0; x < side; ++x) {
            for (std::int64_t c = 0; c < channels; ++c) {
              same = same && turned.at(y, x, c) == image.at(side - 1 - x, y, c);
              const bool inside = x >= 2 && y + 1 < side;
              same = same && moved.at(y, x, c) == (inside ? image.at(y + 1, x - 2, c) : 9);
            }
          }
        }
        CHECK(same);
      }
    }
  }
}

TEST_CASE("a warp reaches the last pixel of an image, and refuses those that are too large") {
  // Places are counted in float: 4093 x 4093 pixels in a frame of 2^24.
  OwnedImage largest(4093, 4093, 1);
  for (std::int64_t x = 0; x < 4093; ++x) {
    largest.pixels[std::size_t(4092 * 4093 + x)] = std::uint8_t(x % 251);
  }
  auto image = largest.view();
  data::warp(image, {.c = 1}, {Interpolation::nearest});  // one pixel to the left
  for (std::int64_t x = 0; x < 4092; ++x) REQUIRE(largest.at(4092, x) == (x + 1) % 251);

  OwnedImage wider(4093, 4094, 1, 9);
  auto refused = wider.view();
  CHECK(
      message_of<ShapeError>([&] { data::warp(refused, {.c = 1}, {}); }) ==
      "[warp] the image is too large\n  expected  16777216 pixels at most, with three more a side\n"
      "  came    4093 x 4094 pixels\n  hint: resize or crop it before");
  CHECK(wider == OwnedImage(4093, 4094, 1, 9));
}

TEST_CASE("perspective") {
  check(
      "perspective",
      [](data::Image& image) {
        data::perspective(image, {{{1, 0}, {6, 2}, {7, 6}, {0, 5}}});
      },
      1, 0.1);
  check(
      "perspective_nearest",
      [](data::Image& image) {
        data::perspective(image, {{{3, 1}, {7, 0}, {5, 5}, {1, 6}}}, {Interpolation::nearest});
      },
      255, 0.04);  // torchvision solves for its coefficients in float: halves fall to either side
  // Corners in one place or crossing over have no mapping; memory outside is not touched.
  auto image = OwnedImage::noise(8, 8, 3);
  auto view = image.view();
  data::perspective(view, {{{3, 3}, {3, 3}, {3, 3}, {3, 3}}});
  data::perspective(view, {{{7, 0}, {0, 0}, {7, 7}, {0, 7}}});
}

TEST_CASE("resize and crops") {
  const auto crop = [](std::int64_t top, std::int64_t left, std::int64_t h, std::int64_t w,
                       data::Filter filter = data::Filter::bilinear) {
    return [=](data::Image& image) { data::resized_crop(image, top, left, h, w, filter); };
  };
  check("crop_larger", crop(1, 2, 4, 5), 1, 0.1);
  check("crop_taller", crop(0, 3, 7, 2), 1, 0.1);
  check("crop_area", crop(1, 2, 5, 3, data::Filter::area), 1);
  check("crop_all",
        [](data::Image& image) { data::resized_crop(image, 0, 0, image.height, image.width); });
  for (const std::string name : {"large_grey", "large_rgb"}) {
    const auto large = stored(name), theirs = stored(name + ".small");
    OwnedImage ours(8, 9, large.channels);
    data::resize({large.pixels.data(), large.height, large.width, large.channels,
                  large.width * large.channels},
                 ours.pixels, {8, 9, large.channels});
    for (std::size_t i = 0; i < ours.pixels.size(); ++i) {
      CHECK(std::abs(int(ours.pixels[i]) - int(theirs.pixels[i])) <= 1);
    }
  }
}

TEST_CASE("the operations of RandAugment and TrivialAugment at their strengths") {
  const std::map<std::string, PolicyOp> ops{{"Identity", PolicyOp::identity},
                                            {"ShearX", PolicyOp::shear_x},
                                            {"ShearY", PolicyOp::shear_y},
                                            {"TranslateX", PolicyOp::translate_x},
                                            {"TranslateY", PolicyOp::translate_y},
                                            {"Rotate", PolicyOp::rotate},
                                            {"Brightness", PolicyOp::brightness},
                                            {"Color", PolicyOp::color},
                                            {"Contrast", PolicyOp::contrast},
                                            {"Sharpness", PolicyOp::sharpness},
                                            {"Posterize", PolicyOp::posterize},
                                            {"Solarize", PolicyOp::solarize},
                                            {"AutoContrast", PolicyOp::autocontrast},
                                            {"Equalize", PolicyOp::equalize}};
  CHECK(ops.size() == data::policy_ops);
  const data::Sampling nearest{Interpolation::nearest};
  for (const auto& op : ops) {
    const auto run = [&](const std::string& policy, int bin, double side) {
      const auto strength = side * bin / 30;
      const auto kind = op.second;
      // torchvision mixes the outermost pixels with themselves, and loses one by cutting off
      const bool sharpness = kind == PolicyOp::sharpness;
      check(
          policy + "." + op.first + "." + std::to_string(bin) + (side > 0 ? ".+" : ".-"),
          [&](data::Image& image) {
            data::apply(kind, image, strength,
                        policy == "rand" ? data::rand_augment_ranges(image)
                                         : data::trivial_augment_ranges(),
                        nearest);
          },
          1, sharpness ? 0.4 : 0.05);
    };
    run("rand", 19, 1);
    run("rand", 7, -1);
    run("trivial", 4, 1);
    run("trivial", 23, -1);
  }
}
