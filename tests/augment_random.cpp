// What augmentations draw: how often, from where to where, to which side, and that it depends on
// (seed, epoch, sample) alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/core/parallel.hpp>
#include <tinynet/data/loader.hpp>
#include "augmented.hpp"

using namespace tinynet;
using namespace tinynet::tests;
using data::Transform;

namespace {

/// Whether `count` of `n` is what a probability of `p` gives.
bool fits(int count, int n, double p) {
  return std::abs(count - n * p) <= 5 * std::sqrt(n * p * (1 - p)) + 1e-9;
}

/// How many of `n` copies the transform changes.
int changed(const OwnedImage& image, const Transform& transform, int n) {
  int count = 0;
  for (int key = 0; key < n; ++key) {
    count += !(image.with(transform, static_cast<std::uint64_t>(key)) == image);
  }
  return count;
}

/// All `measure` finds in `n` copies.
std::vector<double> measured(const OwnedImage& image, const Transform& transform, int n,
                             const std::function<double(const OwnedImage&)>& measure) {
  std::vector<double> values;
  for (int key = 0; key < n; ++key) {
    values.push_back(measure(image.with(transform, static_cast<std::uint64_t>(key))));
  }
  return values;
}

/// Values fill [low, high]: none beyond, and some near either end.
void check_range(const std::vector<double>& values, double low, double high, double slack) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  CHECK(*least >= low - slack);
  CHECK(*least <= low + 0.05 * (high - low) + slack);
  CHECK(*most <= high + slack);
  CHECK(*most >= high - 0.05 * (high - low) - slack);
}

/// White along the line from the centre to the right.
OwnedImage hand() {
  OwnedImage image(41, 41, 1);
  for (std::size_t x = 22; x < 41; ++x) image.pixels[20 * 41 + x] = 255;
  return image;
}

/// The centre of gravity of the light, from the middle.
std::pair<double, double> light(const OwnedImage& image) {
  double sum = 0, x_sum = 0, y_sum = 0;
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      sum += image.at(y, x);
      x_sum += image.at(y, x) * (static_cast<double>(x) - static_cast<double>(image.width - 1) / 2);
      y_sum +=
          image.at(y, x) * (static_cast<double>(y) - static_cast<double>(image.height - 1) / 2);
    }
  }
  return {x_sum / sum, y_sum / sum};
}

/// Degrees by which the hand was turned clockwise.
double turned(const OwnedImage& image) {
  const auto [x, y] = light(image);
  return std::atan2(y, x) * 180 / 3.14159265358979;
}

/// One white pixel in the middle.
OwnedImage dot() {
  OwnedImage image(41, 41, 1);
  image.pixels[20 * 41 + 20] = 255;
  return image;
}

}  // namespace

TEST_CASE("every transform is applied with its probability") {
  const auto grey = OwnedImage::noise(12, 13, 1), rgb = OwnedImage::noise(12, 13, 3);
  const std::vector<std::pair<const char*, std::function<Transform(float)>>> transforms{
      {"horizontal flip", [](float p) { return data::HorizontalFlip{p}; }},
      {"vertical flip", [](float p) { return data::VerticalFlip{p}; }},
      {"affine", [](float p) { return data::RandomAffine{.probability = p}; }},
      {"perspective",
       [](float p) { return data::RandomPerspective{.distortion = 0.9f, .probability = p}; }},
      {"resized crop",
       [](float p) {
         return data::RandomResizedCrop{.scale = {0.1f, 0.5f}, .probability = p};
       }},
      {"shift scale rotate", [](float p) { return data::ShiftScaleRotate{.probability = p}; }},
      {"brightness", [](float p) { return data::Brightness{.probability = p}; }},
      {"contrast", [](float p) { return data::Contrast{.probability = p}; }},
      {"colour jitter",
       [](float p) {
         return data::ColorJitter{.brightness = 0.5f, .contrast = 0.5f, .probability = p};
       }},
      {"hue saturation value",
       [](float p) { return data::HueSaturationValue{.value = 60, .probability = p}; }},
      {"brightness contrast", [](float p) { return data::BrightnessContrast{.probability = p}; }},
      {"solarize", [](float p) { return data::Solarize{.probability = p}; }},
      {"posterize", [](float p) { return data::Posterize{.probability = p}; }},
      {"invert", [](float p) { return data::Invert{p}; }},
      {"sharpness", [](float p) { return data::Sharpness{.probability = p}; }},
      {"blur",
       [](float p) {
         return data::GaussianBlur{.sigma = {1, 2}, .probability = p};
       }},
      {"noise", [](float p) { return data::GaussianNoise{.probability = p}; }},
      {"erasing", [](float p) { return data::RandomErasing{.probability = p}; }},
      {"cutout", [](float p) { return data::Cutout{.probability = p}; }},
      {"coarse dropout", [](float p) { return data::CoarseDropout{.probability = p}; }},
      {"crop", [](float p) { return data::RandomCrop{.padding = 9, .probability = p}; }},
      {"translate",
       [](float p) { return data::RandomTranslate{.x = 0.9f, .y = 0.9f, .probability = p}; }},
  };
  const auto check = [](const char* name, const OwnedImage& image, const auto& transform) {
    CAPTURE(name);
    CAPTURE(image.channels);
    CHECK(changed(image, transform(0), 100) == 0);
    CHECK(changed(image, transform(1), 200) >= 190);  // a few draws change nothing
    CHECK(std::abs(changed(image, transform(0.4f), 1000) - 390) < 90);
  };
  for (const auto& [name, transform] : transforms) {
    check(name, grey, transform);
    check(name, rgb, transform);
  }
  check("grayscale", rgb, [](float p) { return Transform(data::Grayscale{p}); });
  check("saturation", rgb, [](float p) { return Transform(data::Saturation{.probability = p}); });
  check("hue", rgb, [](float p) { return Transform(data::Hue{.probability = p}); });
  // Levels of noise span nearly everything already: stretch and spread what is narrow.
  auto narrow = OwnedImage::noise(40, 40, 3);
  for (auto& level : narrow.pixels) level = static_cast<std::uint8_t>(60 + level / 4);
  check("autocontrast", narrow, [](float p) { return Transform(data::Autocontrast{p}); });
  check("equalize", narrow, [](float p) { return Transform(data::Equalize{p}); });
}

TEST_CASE("grey images have neither hue nor saturation") {
  const auto image = OwnedImage::noise(8, 9, 1);
  CHECK(changed(image, data::Hue{.amount = 0.5f}, 20) == 0);
  CHECK(changed(image, data::Saturation{.amount = 1}, 20) == 0);
  CHECK(changed(image, data::Grayscale{1}, 20) == 0);
  CHECK(changed(image, data::HueSaturationValue{.value = 0, .probability = 1}, 20) == 0);
}

TEST_CASE("rotation covers its range to both sides, evenly") {
  const auto angles = measured(hand(), data::RandomAffine{.degrees = 30}, 1000, turned);
  check_range(angles, -30, 30, 1);
  const auto right = std::count_if(angles.begin(), angles.end(), [](double a) { return a > 0; });
  CHECK(fits(static_cast<int>(right), 1000, 0.5));
  const auto far =
      std::count_if(angles.begin(), angles.end(), [](double a) { return std::abs(a) > 15; });
  CHECK(fits(static_cast<int>(far), 1000, 0.5));
  check_range(
      measured(hand(),
               data::ShiftScaleRotate{.shift = 0, .border = data::Border::fill, .probability = 1},
               1000, turned),
      -45, 45, 2);
}

TEST_CASE("translations cover their range in both directions") {
  const auto x = [](const OwnedImage& image) { return light(image).first; };
  const auto y = [](const OwnedImage& image) { return light(image).second; };
  const data::RandomAffine affine{.degrees = 0, .translate = 0.25f};
  const data::RandomTranslate translate{.x = 0.25f, .y = 0.125f};
  const data::ShiftScaleRotate shift{.shift = 0.125f, .scale = 0, .rotate = 0, .probability = 1};
  check_range(measured(dot(), affine, 600, x), -10, 10, 0.01);
  check_range(measured(dot(), affine, 600, y), -10, 10, 0.01);
  check_range(measured(dot(), translate, 600, x), -10, 10, 0.01);
  check_range(measured(dot(), translate, 600, y), -5, 5, 0.01);
  check_range(measured(dot(), shift, 600, x), -5.125, 5.125, 0.05);
  check_range(measured(dot(), shift, 600, y), -5.125, 5.125, 0.05);
  // Mirrored: what leaves on one side comes in again; the fill shows otherwise.
  const OwnedImage white(9, 9, 3, 255);
  CHECK(changed(white, data::RandomTranslate{.x = 0.9f, .y = 0.9f, .border = data::Border::reflect},
                200) == 0);
  CHECK(changed(white, data::RandomTranslate{.x = 1, .y = 1, .fill = 255}, 200) == 0);
  CHECK(changed(white, data::RandomTranslate{.x = 1, .y = 1}, 200) > 150);
}

TEST_CASE("scale covers its range") {
  OwnedImage disc(61, 61, 1);
  for (std::int64_t y = 0; y < 61; ++y) {
    for (std::int64_t x = 0; x < 61; ++x) {
      const bool inside = (x - 30) * (x - 30) + (y - 30) * (y - 30) <= 15 * 15;
      disc.pixels[static_cast<std::size_t>(y * 61 + x)] = inside ? 255 : 0;
    }
  }
  const auto size = [&](const OwnedImage& image) {
    double before = 0, after = 0;
    for (const auto level : disc.pixels) before += level;
    for (const auto level : image.pixels) after += level;
    return std::sqrt(after / before);
  };
  check_range(measured(disc, data::RandomAffine{.degrees = 0, .scale = {0.5f, 1.5f}}, 400, size),
              0.5, 1.5, 0.02);
  check_range(measured(disc, data::ShiftScaleRotate{.probability = 1}, 400, size), 0.9, 1.1, 0.02);
}

TEST_CASE("shear goes to both sides") {
  OwnedImage line(41, 41, 1);
  for (std::size_t y = 0; y < 20; ++y) line.pixels[y * 41 + 20] = 255;
  const auto lean = [](const OwnedImage& image) {
    const auto [x, y] = light(image);
    return std::atan2(x, -y) * 180 / 3.14159265358979;
  };
  check_range(measured(line, data::RandomAffine{.degrees = 0, .shear_x = 20}, 500, lean), -20, 20,
              1);
}

TEST_CASE("factors of brightness cover their range; the order of a colour jitter varies") {
  const OwnedImage flat(4, 4, 3, 100);
  const auto level = [](const OwnedImage& image) { return double(image.at(0, 0)); };
  check_range(measured(flat, data::Brightness{.amount = 0.4f}, 500, level), 60, 140, 1);
  check_range(measured(flat, data::ColorJitter{.brightness = 0.4f}, 500, level), 60, 140, 1);
  check_range(
      measured(flat, data::BrightnessContrast{.brightness = 0.1f, .probability = 1}, 500, level),
      54.5, 145.5, 8);
}

TEST_CASE("crops of random size stay in their ranges of area and aspect") {
  // A ramp in both directions tells by its slopes how large the window was.
  OwnedImage ramp(60, 60, 3);
  for (std::int64_t y = 0; y < 60; ++y) {
    for (std::int64_t x = 0; x < 60; ++x) {
      ramp.pixels[static_cast<std::size_t>((y * 60 + x) * 3)] = static_cast<std::uint8_t>(4 * x);
      ramp.pixels[static_cast<std::size_t>((y * 60 + x) * 3 + 1)] =
          static_cast<std::uint8_t>(4 * y);
    }
  }
  const auto width = [](const OwnedImage& i) { return (i.at(30, 50) - i.at(30, 10)) / 160.0; };
  const auto height = [](const OwnedImage& i) {
    return (i.at(50, 30, 1) - i.at(10, 30, 1)) / 160.0;
  };
  const data::RandomResizedCrop crop{.scale = {0.2f, 0.6f}, .ratio = {0.5f, 2}};
  const auto area = [&](const OwnedImage& i) { return width(i) * height(i); };
  const auto aspect = [&](const OwnedImage& i) { return std::log2(width(i) / height(i)); };
  check_range(measured(ramp, crop, 600, area), 0.2, 0.6, 0.03);
  check_range(measured(ramp, crop, 600, aspect), -1, 1, 0.15);
  // Nothing fits: the largest of an allowed aspect, in the middle. (On its last and first columns.)
  const data::RandomResizedCrop wide{.scale = {1, 1}, .ratio = {4, 4}};
  const auto middle = ramp.with(wide);
  CHECK(width(middle) == doctest::Approx(1).epsilon(0.02));
  CHECK(height(middle) == doctest::Approx(0.25).epsilon(0.05));
}

TEST_CASE("alternating flip shows each image both ways in two epochs, half of them mirrored") {
  auto image = OwnedImage::noise(3, 4, 3);
  const auto mirrored = image.with(data::HorizontalFlip{1});
  const auto at = [&](std::int64_t sample, std::int64_t epoch, std::uint64_t seed = 0) {
    image.sample = sample;
    image.epoch = epoch;
    const auto result = image.with(data::AlternatingFlip{seed}, 17);
    CHECK((result == image || result == mirrored));
    return result == mirrored;
  };
  int first = 0, differ = 0;
  for (std::int64_t sample = 0; sample < 1000; ++sample) {
    const bool flipped = at(sample, 0);
    first += flipped;
    CHECK(at(sample, 1) != flipped);
    CHECK(at(sample, 2) == flipped);
    CHECK(at(sample, 7) != flipped);
    differ += at(sample, 0, 1) != flipped;
  }
  CHECK(fits(first, 1000, 0.5));
  CHECK(fits(differ, 1000, 0.5));
}

TEST_CASE("vertical flip") {
  const auto image = OwnedImage::noise(5, 3, 3), flipped = image.with(data::VerticalFlip{1});
  for (std::int64_t y = 0; y < 5; ++y) {
    for (std::int64_t x = 0; x < 3; ++x) CHECK(flipped.at(y, x, 2) == image.at(4 - y, x, 2));
  }
}

TEST_CASE("random erasing: area, aspect, place and paint") {
  const OwnedImage white(40, 50, 3, 255);
  const data::RandomErasing erasing{.probability = 1, .scale = {0.05f, 0.2f}, .ratio = {0.5f, 2}};
  std::vector<double> areas, aspects, lefts;
  for (std::uint64_t key = 0; key < 600; ++key) {
    const auto image = white.with(erasing, key);
    std::int64_t top = 99, left = 99, bottom = -1, right = -1, black = 0;
    for (std::int64_t y = 0; y < 40; ++y) {
      for (std::int64_t x = 0; x < 50; ++x) {
        if (image.at(y, x) == 255) continue;
        ++black;
        top = std::min(top, y), left = std::min(left, x);
        bottom = std::max(bottom, y), right = std::max(right, x);
      }
    }
    const auto height = bottom - top + 1, width = right - left + 1;
    REQUIRE(black == height * width);  // one rectangle, all of it
    areas.push_back(static_cast<double>(black) / 2000);
    aspects.push_back(std::log2(static_cast<double>(height) / static_cast<double>(width)));
    lefts.push_back(static_cast<double>(left) / static_cast<double>(50 - width));
  }
  check_range(areas, 0.05, 0.2, 0.01);
  check_range(aspects, -1, 1, 0.15);
  check_range(lefts, 0, 1, 0.001);

  auto split = OwnedImage(10, 10, 1, 100);
  std::fill_n(split.pixels.begin(), 50, std::uint8_t{0});
  const auto with = [&](data::Paint paint, data::Fill fill) {
    const data::RandomErasing erase{.probability = 1, .paint = paint, .fill = fill};
    std::set<int> levels;
    for (std::uint64_t key = 0; key < 400; ++key) {
      for (const int level : split.with(erase, key).pixels) levels.insert(level);
    }
    return levels;
  };
  CHECK(with(data::Paint::fill, 7) == std::set<int>{0, 7, 100});
  CHECK(with(data::Paint::mean, 7) == std::set<int>{0, 50, 100});
  CHECK(with(data::Paint::random, 7).size() == 256);
}

TEST_CASE("cutout is one square, inside or cut off by the edge; dropout makes several holes") {
  const OwnedImage white(12, 15, 3, 255);
  const auto black = [](const OwnedImage& image) {
    return static_cast<double>(std::count(image.pixels.begin(), image.pixels.end(), 0)) / 3;
  };
  for (const auto size : measured(white, data::Cutout{.size = 5, .inside = true}, 200, black)) {
    CHECK(size == 25);
  }
  const auto partly = measured(white, data::Cutout{.size = 5}, 2000, black);
  check_range(partly, 9, 25, 0);  // its centre is a pixel: 3 x 3 are left in a corner
  std::set<double> places;
  for (std::uint64_t key = 0; key < 5000; ++key) {
    const auto image = white.with(data::Cutout{.size = 1}, key);
    places.insert(static_cast<double>(std::find(image.pixels.begin(), image.pixels.end(), 0) -
                                      image.pixels.begin()));
  }
  CHECK(places.size() == 12 * 15);

  const data::CoarseDropout one{
      .holes = {1, 1}, .height = {2, 3}, .width = {4, 4}, .probability = 1};
  const auto holes = measured(white, one, 200, black);
  CHECK(std::set<double>(holes.begin(), holes.end()) == std::set<double>{8, 12});
  const data::CoarseDropout many{
      .holes = {1, 3}, .height = {1, 1}, .width = {1, 1}, .probability = 1};
  const auto few = measured(white, many, 300, black);
  CHECK(std::set<double>(few.begin(), few.end()) == std::set<double>{1, 2, 3});
}

TEST_CASE("noise is normal, without a shift, and different in each level") {
  const OwnedImage grey(100, 100, 3, 128);
  const auto noisy = grey.with(data::GaussianNoise{.deviation = {20, 20}, .probability = 1}, 4);
  double sum = 0, squares = 0, fourth = 0;
  int within = 0;
  for (const auto level : noisy.pixels) {
    const double x = level - 128.0;
    sum += x, squares += x * x, fourth += x * x * x * x;
    within += std::abs(x) <= 20;
  }
  const double n = 30000;
  CHECK(std::abs(sum / n) < 0.6);
  CHECK(std::sqrt(squares / n) == doctest::Approx(20).epsilon(0.02));
  CHECK(fourth / n / std::pow(squares / n, 2) == doctest::Approx(3).epsilon(0.06));
  CHECK(within / n == doctest::Approx(0.694).epsilon(0.02));  // of whole numbers: to 20.5
  CHECK(noisy.at(0, 0) != noisy.at(0, 1));
  check_range(measured(grey, data::GaussianNoise{.deviation = {2, 30}, .probability = 1}, 100,
                       [&](const OwnedImage& image) {
                         double s = 0;
                         for (const auto level : image.pixels) s += std::pow(level - 128.0, 2);
                         return std::sqrt(s / n);
                       }),
              2, 30, 0.5);
}

TEST_CASE("RandAugment rotates to both sides, equally often") {
  // In grey images one of 13 operations is a rotation.
  const auto angles =
      measured(hand(), data::RandAugment{.num_ops = 1, .magnitude = 20}, 4000, turned);
  for (const double side : {-20, 20}) {
    const auto near = std::count_if(angles.begin(), angles.end(),
                                    [=](double a) { return std::abs(a - side) < 1; });
    CHECK(fits(static_cast<int>(near), 4000, 1.0 / 26));
  }
  CHECK(changed(hand(), data::RandAugment{.num_ops = 0}, 100) == 0);
}

TEST_CASE("the magnitude of RandAugment spreads as it is told") {
  // Of a flat image, brightness alone makes levels other than 96, 100 and 155: 100 * (1 +- 0.9 s).
  const auto strengths = [](float magnitude_std) {
    const data::RandAugment policy{
        .num_ops = 1, .magnitude = 15, .magnitude_std = magnitude_std, .fill = 100};
    std::vector<double> result;
    for (const auto level : measured(OwnedImage(4, 4, 1, 100), policy, 8000,
                                     [](const auto& image) { return double(image.at(1, 1)); })) {
      if (level != 100 && level != 96 && level != 155) {
        result.push_back(std::abs(level - 100) / 90);
      }
    }
    return result;
  };
  const auto deviation = [](const std::vector<double>& values, double around) {
    double squares = 0;
    for (const auto v : values) squares += (v - around) * (v - around);
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  const auto fixed = strengths(0), spread = strengths(3);
  CHECK(fits(static_cast<int>(fixed.size()), 8000, 1.0 / 13));
  CHECK(deviation(fixed, 0.5) < 0.01);
  CHECK(deviation(spread, 0.5) == doctest::Approx(0.1).epsilon(0.15));  // 3 of 30 bins
  check_range(strengths(std::numeric_limits<float>::infinity()), 0, 0.5, 0.03);
}

TEST_CASE("every operation of a policy comes equally often, in grey images all but colour") {
  const auto count = [](const OwnedImage& image, const Transform& policy, data::PolicyOp op,
                        double strength, const data::PolicyRanges& ranges) {
    int times = 0;
    const auto expected = image.with([&](data::Image& x, random::Generator&) {
      data::apply(op, x, strength, ranges, {data::Interpolation::nearest});
    });
    for (std::uint64_t key = 0; key < 3000; ++key) times += image.with(policy, key) == expected;
    return times;
  };
  for (const std::int64_t channels : {1, 3}) {
    auto image = OwnedImage::noise(24, 23, channels);
    for (auto& level : image.pixels) level = static_cast<std::uint8_t>(40 + level / 2);
    const auto ranges = data::rand_augment_ranges(image.view());
    const double ops = channels == 1 ? 13 : 14;
    for (std::uint32_t i = 0; i < data::policy_ops; ++i) {
      const auto op = static_cast<data::PolicyOp>(i);
      if (op == data::PolicyOp::color && channels == 1) continue;
      // One that has two sides is found on one of them.
      const bool sided = op >= data::PolicyOp::shear_x && op <= data::PolicyOp::sharpness;
      CAPTURE(i);
      CAPTURE(channels);
      CHECK(fits(count(image, data::RandAugment{.num_ops = 1, .magnitude = 15}, op, 0.5, ranges),
                 3000, (sided ? 0.5 : 1) / ops));
    }
    // The strength of TrivialAugment is any of the bins.
    const data::TrivialAugment trivial{.num_magnitude_bins = 3};
    for (const double strength : {-1.0, -0.5, 0.5, 1.0}) {
      CHECK(fits(
          count(image, trivial, data::PolicyOp::rotate, strength, data::trivial_augment_ranges()),
          3000, 1 / ops / 6));
    }
  }
}

TEST_CASE("a whole pipeline gives the same bits for any number of threads, others for other keys") {
  Tensor<std::uint8_t> images({60, 14, 15, 3});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::below({7}, std::uint64_t(i), 256));
  }
  const data::Dataset dataset("noise", images, Tensor<std::int32_t>::zeros({60}), {"a"});
  const auto everything = data::compose(
      {data::AlternatingFlip{}, data::RandomCrop{}, data::RandomTranslate{}, data::RandomAffine{},
       data::ShiftScaleRotate{}, data::RandomPerspective{}, data::RandomResizedCrop{},
       data::some_of(3, {data::ColorJitter{0.2f, 0.2f, 0.2f, 0.1f}, data::HueSaturationValue{},
                         data::BrightnessContrast{}, data::GaussianBlur{}, data::Sharpness{}}),
       data::one_of({data::RandAugment{.magnitude_std = 0.5f}, data::TrivialAugment{}}),
       data::GaussianNoise{}, data::RandomErasing{.paint = data::Paint::random}, data::Cutout{},
       data::CoarseDropout{}});
  const auto epoch = [&](int threads, std::uint64_t seed, std::int64_t number) {
    const auto before = num_threads();
    set_num_threads(threads);
    std::vector<float> pixels;
    const data::Loader<float> loader(
        dataset, {.batch_size = 32, .shuffle = false, .augment = everything, .seed = seed});
    for (const auto& batch : loader.epoch(number)) {
      pixels.insert(pixels.end(), batch.images.span().begin(), batch.images.span().end());
    }
    set_num_threads(before);
    return pixels;
  };
  const auto expected = epoch(1, 3, 5);
  for (const int threads : {1, 2, 3}) CHECK(epoch(threads, 3, 5) == expected);
  CHECK(epoch(1, 4, 5) != expected);
  CHECK(epoch(1, 3, 6) != expected);
}

TEST_CASE("images of any size, down to one pixel, stay within their memory") {
  const auto everything = std::vector<Transform>{
      data::RandomCrop{},
      data::RandomTranslate{.border = data::Border::reflect},
      data::RandomAffine{.degrees = 180, .translate = 1, .scale = {0.1f, 9}, .shear_x = 80},
      data::ShiftScaleRotate{.probability = 1},
      data::RandomPerspective{.distortion = 1, .probability = 1},
      data::RandomResizedCrop{},
      data::RandomResizedCrop{.filter = data::Filter::area},
      data::ColorJitter{1, 1, 1, 0.5f},
      data::HueSaturationValue{.probability = 1},
      data::Grayscale{1},
      data::Equalize{1},
      data::Autocontrast{1},
      data::Sharpness{.probability = 1},
      data::GaussianBlur{.kernel_size = 1},
      data::GaussianNoise{.probability = 1},
      data::RandomErasing{.probability = 1},
      data::Cutout{},
      data::RandAugment{.num_ops = 3},
      data::TrivialAugment{},
      data::VerticalFlip{1},
      data::HorizontalFlip{1}};
  for (const std::int64_t height : {1, 2, 3, 28}) {
    for (const std::int64_t width : {1, 2, 15, 16, 17, 33}) {
      for (const std::int64_t channels : {1, 3}) {
        auto image = OwnedImage::noise(height, width, channels);
        image.pixels.insert(image.pixels.end(), 64, 171);  // a guard behind
        for (std::uint64_t key = 0; key < 8; ++key) {
          for (const auto& transform : everything) {
            auto copy = image;
            auto view = copy.view();
            view.pixels = view.pixels.first(static_cast<std::size_t>(height * width * channels));
            random::Generator generator(random::Key{key});
            transform(view, generator);
            CHECK(std::count(copy.pixels.end() - 64, copy.pixels.end(), 171) == 64);
          }
        }
      }
    }
  }
}
