// What people look at before they train: statistics of classes, contact sheets of augmentation.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <tinynet/data/loader.hpp>
#include <tinynet/data/preview.hpp>
#include <tinynet/data/statistics.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::message_of;

namespace {

/// Five images of 1 x 2 pixels and two channels in three classes, of which the last has none.
data::Dataset five() {
  Tensor<std::uint8_t> images({5, 1, 2, 2});
  for (std::int64_t i = 0; i < 20; ++i) images.data()[i] = static_cast<std::uint8_t>(10 * i);
  return data::Dataset("five", images, Tensor<std::int32_t>::from({5}, {0, 1, 0, 0, 1}),
                       {"a class", "b", "none"});
}

data::Dataset noise(std::int64_t n, const Shape& image) {
  Tensor<std::uint8_t> images({n, image[0], image[1], image[2]});
  for (std::int64_t i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<std::uint8_t>(random::below({3}, std::uint64_t(i), 256));
  }
  return data::Dataset("noise", images, Tensor<std::int32_t>::zeros({n}), {"all"});
}

const data::Transform scribble = [](data::Image& image, random::Generator& numbers) {
  for (auto& pixel : image.pixels) pixel = static_cast<std::uint8_t>(numbers.below(256));
};

}  // namespace

TEST_CASE("statistics count classes and look at each alone") {
  const auto dataset = five();
  const auto all = data::statistics(dataset);
  CHECK(all.count == 5);
  REQUIRE(all.classes.size() == 3);
  CHECK(all.classes[0].count == 3);
  CHECK(all.classes[0].share == doctest::Approx(0.6));
  CHECK(all.classes[2].count == 0);
  CHECK(all.classes[2].channels.mean.empty());
  const auto b = data::channel_statistics(dataset.subset({1, 4}));
  CHECK(all.classes[1].channels.mean == b.mean);
  CHECK(all.classes[1].channels.deviation == b.deviation);
  CHECK(to_string(all) ==
        "five: 5 images of [1, 2, 2]\n"
        "class     images    share  mean           deviation\n"
        "a class        3   60.00%  0.3007 0.3399  0.1995 0.1995\n"
        "b              2   40.00%  0.4314 0.4706  0.2385 0.2385\n"
        "none           0    0.00%\n"
        "all            5  100.00%  0.3529 0.3922  0.2253 0.2253\n");
  CHECK_THROWS_AS(data::statistics(dataset.take(0)), DataError);
  const auto mean = data::mean_image(dataset.subset({0, 2}));
  CHECK(mean.shape() == Shape{1, 2, 2});
  CHECK(mean(0, 1, 0) == doctest::Approx((20 + 100) / 2 / 255.0));
  CHECK(message_of<DataError>([&] { data::mean_image(dataset.take(0)); }) ==
        "[mean_image] the data set has no samples\n  dataset five");
}

TEST_CASE("a contact sheet holds every image at its place") {
  const auto dataset = noise(5, {3, 2, 3});
  Tensor<std::uint8_t> images({5, 3, 2, 3});
  for (std::int64_t i = 0; i < 5; ++i) {
    std::copy(dataset.image(i).begin(), dataset.image(i).end(), images.data() + i * 18);
  }
  const auto sheet =
      data::contact_sheet(images, {.columns = 2, .scale = 3, .gap = 1, .between = 7});
  REQUIRE(sheet.shape() == Shape{1 + 3 * 10, 1 + 2 * 7, 3});
  for (std::int64_t y = 0; y < 31; ++y) {
    for (std::int64_t x = 0; x < 15; ++x) {
      const auto row = y / 10, column = x / 7, i = 2 * row + column;
      const bool inside = y % 10 > 0 && x % 7 > 0 && i < 5;
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto expected = inside ? images(i, (y % 10 - 1) / 3, (x % 7 - 1) / 3, c) : 7;
        REQUIRE(sheet(y, x, c) == expected);
      }
    }
  }
  CHECK(data::contact_sheet(images, {.columns = 50, .scale = 1, .gap = 0}).shape() ==
        Shape{3, 10, 3});
  CHECK(message_of<ShapeError>([&] { data::contact_sheet(images, {.scale = 0}); }) ==
        "[contact_sheet] columns and scale are 1 or more, gap is 0 or more\n  columns 8\n  scale   "
        "0\n  gap     2");
  CHECK(message_of<ShapeError>([&] {
          data::contact_sheet(images.reshape({15, 6}));
        }) == "[contact_sheet] needs images\n  expected  [n, h, w, c]\n  came    [15, 6]");
}

TEST_CASE("a preview shows what a loader of that seed and epoch delivers") {
  const auto dataset = noise(3, {4, 4, 1});
  const data::PreviewOptions options{
      .rows = 9, .columns = 3, .seed = 5, .epoch = 2, .sheet = {.scale = 1, .gap = 0}};
  const auto sheet = data::preview(dataset, scribble, options);
  REQUIRE(sheet.shape() == Shape{12, 12, 1});  // no more rows than samples
  const auto part = [&](std::int64_t row, std::int64_t column) {
    std::vector<std::uint8_t> pixels;
    for (std::int64_t y = 0; y < 4; ++y) {
      for (std::int64_t x = 0; x < 4; ++x) pixels.push_back(sheet(4 * row + y, 4 * column + x, 0));
    }
    return pixels;
  };
  const data::Loader<float> loader(
      dataset, {.batch_size = 3, .shuffle = false, .augment = scribble, .views = 2, .seed = 5});
  const auto epoch = loader.epoch(2).begin()->images.clone();
  const auto seen = data::denormalise(epoch, {});
  std::vector<int> found(3);
  for (std::int64_t row = 0; row < 3; ++row) {
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto image = dataset.image(i);
      if (part(row, 0) != std::vector<std::uint8_t>(image.begin(), image.end())) continue;
      ++found[std::size_t(i)];
      for (std::int64_t view = 0; view < 2; ++view) {
        const auto* at = seen.data() + (2 * i + view) * 16;
        CHECK(part(row, 1 + view) == std::vector<std::uint8_t>(at, at + 16));
      }
    }
  }
  CHECK(found == std::vector<int>{1, 1, 1});
  const auto again = data::preview(dataset, scribble, options);
  CHECK(std::equal(again.span().begin(), again.span().end(), sheet.span().begin()));
  CHECK(message_of<DataError>([&] { data::preview(dataset.take(0), scribble); }) ==
        "[preview] the data set has no samples\n  dataset noise");
  CHECK(message_of<ShapeError>([&] { data::preview(dataset, scribble, {.rows = 0}); }) ==
        "[preview] rows and columns are 1 or more\n  rows    0\n  columns 8");
}

TEST_CASE("denormalise gives back the bytes that were normalised") {
  const auto dataset = noise(4, {5, 3, 3});
  const auto normalize = data::channel_statistics(dataset);
  for (const auto& batch :
       data::Loader<float>(dataset, {.shuffle = false, .normalize = normalize}).epoch()) {
    const auto bytes = data::denormalise(batch.images, normalize);
    for (std::int64_t i = 0; i < 4; ++i) {
      CHECK(std::equal(dataset.image(i).begin(), dataset.image(i).end(), bytes.data() + i * 45));
    }
  }
  CHECK(message_of<ShapeError>([&] {
          data::denormalise(Tensor<float>::zeros({1, 2, 2, 3}), {{0.5f}, {0.5f}});
        }) ==
        "[denormalise] needs one mean and one deviation for each channel\n  images  [1, 2, 2, 3]"
        "        (n, h, w, c)\n  came    1");
}
