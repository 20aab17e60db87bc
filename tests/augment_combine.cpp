// Transforms made of transforms, and what is said of options out of range.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/data/augment.hpp>
#include "augmented.hpp"
#include "messages.hpp"

using namespace tinynet;
using namespace tinynet::tests;
using data::Transform;

namespace {

/// Appends `number` to the image: its first level counts the calls, the next ones tell which.
Transform mark(std::uint8_t number) {
  return [number](data::Image& image, random::Generator&) {
    image.pixels[++image.pixels[0]] = number;
  };
}

std::vector<int> marks(const Transform& transform, std::uint64_t key, std::int32_t label = 0) {
  OwnedImage image(1, 16, 1);
  image.label = label;
  const auto result = image.with(transform, key);
  return {result.pixels.begin() + 1, result.pixels.begin() + 1 + result.pixels[0]};
}

constexpr double deviations = 5;

/// Whether `count` of `n` is what a probability of `p` gives.
bool fits(int count, int n, double p) {
  return std::abs(count - n * p) <= deviations * std::sqrt(n * p * (1 - p)) + 1e-9;
}

}  // namespace

TEST_CASE("compose keeps the order") {
  CHECK(marks(data::compose({mark(1), mark(2), mark(3)}), 0) == std::vector<int>{1, 2, 3});
  CHECK(marks(data::compose({}), 0).empty());
  CHECK(!data::compose({}));
  CHECK(!Transform());
  CHECK(Transform(mark(1)));
}

TEST_CASE("sometimes") {
  int applied = 0;
  for (std::uint64_t key = 0; key < 2000; ++key) {
    applied += marks(data::sometimes(0.3f, mark(1)), key).size() == 1;
  }
  CHECK(fits(applied, 2000, 0.3));
  CHECK(marks(data::sometimes(1, mark(1)), 0).size() == 1);
  CHECK(marks(data::sometimes(0, mark(1)), 0).empty());
}

TEST_CASE("one_of takes one, as often as its weight says") {
  const auto count = [](const Transform& transform) {
    std::array<int, 3> times{};
    for (std::uint64_t key = 0; key < 3000; ++key) {
      const auto which = marks(transform, key);
      REQUIRE(which.size() == 1);
      ++times[static_cast<std::size_t>(which[0])];
    }
    return times;
  };
  const auto even = count(data::one_of({mark(0), mark(1), mark(2)}));
  for (const auto times : even) CHECK(fits(times, 3000, 1.0 / 3));
  const auto weighted = count(data::one_of({mark(0), mark(1), mark(2)}, {3, 0, 1}));
  CHECK(fits(weighted[0], 3000, 0.75));
  CHECK(weighted[1] == 0);
}

TEST_CASE("some_of takes different ones, all choices and orders equally often") {
  const auto two = data::some_of(2, {mark(0), mark(1), mark(2)});
  std::array<int, 9> times{};
  for (std::uint64_t key = 0; key < 6000; ++key) {
    const auto which = marks(two, key);
    REQUIRE(which.size() == 2);
    ++times[static_cast<std::size_t>(3 * which[0] + which[1])];
  }
  for (std::size_t i = 0; i < 9; ++i) {
    if (i / 3 == i % 3) CHECK(times[i] == 0);
    else CHECK(fits(times[i], 6000, 1.0 / 6));
  }
  CHECK(marks(data::some_of(0, {mark(0)}), 0).empty());
  CHECK(marks(data::some_of(3, {mark(0), mark(1), mark(2)}), 0).size() == 3);
}

TEST_CASE("per_class leaves other classes alone") {
  const std::vector<std::string> classes{"T-shirt", "Trouser", "Pullover"};
  for (const auto& transform : {data::per_class({2, 0}, mark(1)),
                                data::per_class(classes, {"Pullover", "T-shirt"}, mark(1))}) {
    CHECK(marks(transform, 0, 0).size() == 1);
    CHECK(marks(transform, 0, 1).empty());
    CHECK(marks(transform, 0, 2).size() == 1);
  }
}

TEST_CASE("what combinators refuse") {
  CHECK(message_of<StateError>([] { data::sometimes(1.5f, mark(0)); }) ==
        "[sometimes] probability is out of range\n  expected  0 to 1\n  came    1.5");
  CHECK(message_of<StateError>([] { data::one_of({}); }) ==
        "[one_of] there is nothing to choose from");
  CHECK(message_of<StateError>([] {
          data::one_of({mark(0), mark(1)}, {1});
        }) == "[one_of] needs one weight for each transform\n  expected  2\n  came    1");
  CHECK(message_of<StateError>([] { data::one_of({mark(0)}, {-1}); }) ==
        "[one_of] a weight is out of range\n  expected  0 or more\n  came    -1");
  CHECK(message_of<StateError>([] { data::one_of({mark(0)}, {0}); }) ==
        "[one_of] the sum of the weights is out of range\n  expected  above 0\n  came    0");
  CHECK(message_of<StateError>([] { data::some_of(2, {mark(0)}); }) ==
        "[some_of] cannot choose 2 different transforms\n  expected  0 to 1\n  came    2");
  CHECK(message_of<StateError>([] {
          data::per_class({3, -1}, mark(0));
        }) == "[per_class] a label is out of range\n  expected  0 or more\n  came    -1");
  CHECK(message_of<StateError>([] {
          data::per_class({"cat", "dog"}, {"dog", "cow"}, mark(0));
        }) == "[per_class] no class 'cow'\n  classes cat, dog");
}

/// A transform that owns something: moved from, it would not pass its own check.
struct Lookup {
  std::vector<std::uint8_t> table;
  void check() const { require_setting(table.size() == 256, "lookup", "table", 0, "256 values"); }
  void operator()(data::Image& image, random::Generator&) const {
    for (auto& pixel : image.pixels) pixel = table[pixel];
  }
};

TEST_CASE("a transform is checked as it was given") {
  const data::Transform inverse = Lookup{std::vector<std::uint8_t>(256, 7)};
  std::vector<std::uint8_t> pixels(4, 1);
  data::Image image{pixels, 2, 2, 1};
  random::Generator generator(random::Key{1});
  inverse(image, generator);
  CHECK(pixels == std::vector<std::uint8_t>(4, 7));
  CHECK(message_of<StateError>([] { data::Transform{Lookup{}}; }) ==
        "[lookup] table is out of range\n  expected  256 values\n  came    0");
}

TEST_CASE("options are checked when a struct becomes a transform") {
  const auto said = [](auto options) {
    const auto text = message_of<StateError>([&] { Transform{options}; });
    // A part of something is checked as well.
    CHECK(message_of<StateError>([&] { data::compose({options}); }) == text);
    return text;
  };
  const auto refuses = [&](auto options, const std::string& what, const std::string& expected,
                           const std::string& came) {
    CHECK(said(options) ==
          what + " is out of range\n  expected  " + expected + "\n  came    " + came);
  };
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  const std::string one = "0 to 1";
  refuses(data::HorizontalFlip{-0.1f}, "[horizontal_flip] probability", one, "-0.1");
  refuses(data::VerticalFlip{nan}, "[vertical_flip] probability", one, "nan");
  refuses(data::RandomCrop{.padding = -1}, "[random_crop] padding", "0 or more", "-1");
  refuses(data::RandomCrop{.fill = 256}, "[random_crop] fill", "0 to 255", "256");
  refuses(data::RandomTranslate{.x = 1.5f}, "[random_translate] x", one, "1.5");
  refuses(data::RandomTranslate{.y = 1, .border = data::Border::reflect}, "[random_translate] y",
          "at least 0 and below 1, where the border reflects", "1");
  refuses(data::RandomAffine{.degrees = 181}, "[random_affine] degrees", "0 to 180", "181");
  refuses(data::RandomAffine{.translate = -1}, "[random_affine] translate", one, "-1");
  refuses(data::RandomAffine{.scale = {0, 1}}, "[random_affine] scale.low", "above 0", "0");
  refuses(data::RandomAffine{.scale = {1, 0.5f}}, "[random_affine] scale.high", "low or more",
          "0.5");
  refuses(data::RandomAffine{.shear_x = 90}, "[random_affine] shear_x", "0 to 90", "90");
  refuses(data::RandomAffine{.shear_y = nan}, "[random_affine] shear_y", "0 to 90", "nan");
  refuses(data::RandomAffine{.fill = data::Fill(0, -1, 0)}, "[random_affine] fill", "0 to 255",
          "-1");
  refuses(data::ShiftScaleRotate{.shift = 2}, "[shift_scale_rotate] shift", one, "2");
  refuses(data::ShiftScaleRotate{.scale = 1}, "[shift_scale_rotate] scale",
          "at least 0 and below 1", "1");
  refuses(data::ShiftScaleRotate{.rotate = 200}, "[shift_scale_rotate] rotate", "0 to 180", "200");
  refuses(data::RandomPerspective{.distortion = 1.1f}, "[random_perspective] distortion", one,
          "1.1");
  refuses(data::RandomResizedCrop{.scale = {0, 1}}, "[random_resized_crop] scale.low",
          "above 0, at most 1", "0");
  refuses(data::RandomResizedCrop{.ratio = {2, 1}}, "[random_resized_crop] ratio.high",
          "low or more", "1");
  refuses(data::Brightness{.amount = 2}, "[brightness] amount", one, "2");
  refuses(data::Contrast{.amount = -1}, "[contrast] amount", one, "-1");
  refuses(data::Saturation{.amount = 1.5f}, "[saturation] amount", one, "1.5");
  refuses(data::Hue{.amount = 0.6f}, "[hue] amount", "0 to 0.5", "0.6");
  refuses(data::ColorJitter{.brightness = 3}, "[color_jitter] brightness", one, "3");
  refuses(data::ColorJitter{.hue = 1}, "[color_jitter] hue", "0 to 0.5", "1");
  refuses(data::HueSaturationValue{.hue = 91}, "[hue_saturation_value] hue", "0 to 90", "91");
  refuses(data::BrightnessContrast{.contrast = 2}, "[brightness_contrast] contrast", one, "2");
  refuses(data::Grayscale{2}, "[grayscale] probability", one, "2");
  refuses(data::Solarize{.threshold = 300}, "[solarize] threshold", "0 to 256", "300");
  refuses(data::Posterize{.bits = 9}, "[posterize] bits", "0 to 8", "9");
  refuses(data::Equalize{2}, "[equalize] probability", one, "2");
  refuses(data::Autocontrast{2}, "[autocontrast] probability", one, "2");
  refuses(data::Invert{2}, "[invert] probability", one, "2");
  refuses(data::Sharpness{.factor = -1}, "[sharpness] factor", "0 or more", "-1");
  refuses(data::GaussianBlur{.kernel_size = 4}, "[gaussian_blur] kernel_size",
          "an odd number, 1 or more", "4");
  refuses(data::GaussianBlur{.sigma = {0, 1}}, "[gaussian_blur] sigma.low", "0.001 or more", "0");
  refuses(data::GaussianNoise{.deviation = {0, 300}}, "[gaussian_noise] deviation.high", "0 to 255",
          "300");
  refuses(data::RandomErasing{.scale = {0.1f, 1.5f}}, "[random_erasing] scale.high", one, "1.5");
  refuses(data::RandomErasing{.ratio = {0, 1}}, "[random_erasing] ratio.low", "0.001 to 1000", "0");
  refuses(data::Cutout{.size = 0}, "[cutout] size", "1 or more", "0");
  refuses(data::CoarseDropout{.holes = {0, 1}}, "[coarse_dropout] holes.low", "1 or more", "0");
  refuses(data::CoarseDropout{.height = {4, 2}}, "[coarse_dropout] height.high", "low or more",
          "2");
  refuses(data::RandAugment{.num_ops = -1}, "[rand_augment] num_ops", "0 or more", "-1");
  refuses(data::RandAugment{.magnitude = 31}, "[rand_augment] magnitude",
          "0 to num_magnitude_bins - 1", "31");
  refuses(data::RandAugment{.magnitude_std = -1}, "[rand_augment] magnitude_std", "0 or more",
          "-1");
  refuses(data::RandAugment{.num_magnitude_bins = 1}, "[rand_augment] num_magnitude_bins",
          "2 or more", "1");
  refuses(data::TrivialAugment{.num_magnitude_bins = 1}, "[trivial_augment] num_magnitude_bins",
          "2 or more", "1");
  // Defaults are fine.
  CHECK_NOTHROW(data::compose({data::RandomErasing{}, data::CoarseDropout{}, data::RandAugment{},
                               data::TrivialAugment{}, data::ShiftScaleRotate{}}));
}

TEST_CASE("what does not fit an image is said with the image") {
  OwnedImage small(6, 5, 1), strange(4, 4, 2);
  const auto said = [](const OwnedImage& image, const Transform& transform) {
    return message_of<ShapeError>([&] { image.with(transform); });
  };
  CHECK(said(small, data::Cutout{.size = 6, .inside = true}) ==
        "[cutout] the square does not fit the image\n  size    6\n  image   [6, 5, 1]           "
        "(h, w, c)");
  CHECK(said(small, data::CoarseDropout{.probability = 0}) ==
        "[coarse_dropout] the holes do not fit the image\n  holes   up to 8 x 8\n  image   "
        "[6, 5, 1]           (h, w, c)");
  CHECK(said(small, data::GaussianBlur{.kernel_size = 11}) ==
        "[gaussian_blur] the window does not fit the image\n  window  11\n  image   [6, 5, 1]"
        "           (h, w, c)");
  CHECK(said(small, [](data::Image& image,
                       random::Generator&) { data::resized_crop(image, 2, 0, 5, 5); }) ==
        "[resized_crop] the window does not lie within the image\n  window  [2, 0, 5, 5]        "
        "(top, left, h, w)\n  image   [6, 5, 1]           (h, w, c)");
  CHECK(said(strange, data::RandAugment{}) ==
        "[rand_augment] images have one channel or three\n  image   [4, 4, 2]           (h, w, c)");
  for (const Transform& transform :
       {Transform(data::RandomCrop{}), Transform(data::RandomAffine{}),
        Transform(data::RandomErasing{}), Transform(data::ColorJitter{.contrast = 0.5f}),
        Transform(data::Hue{}), Transform(data::Cutout{}), Transform(data::Grayscale{1})}) {
    CHECK(contains(said(strange, transform), "images have one channel or three"));
  }
  std::vector<std::uint8_t> to(12);
  CHECK(message_of<ShapeError>([&] {
          data::resize({small.pixels.data(), 6, 5, 1, 5}, to, {4, 4, 1});
        }) ==
        "[resize] the images do not fit\n  from    [6, 5, 1]           (h, w, c)\n  to      "
        "[4, 4, 1]           12 elements");
}
