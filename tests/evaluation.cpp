// Metrics of predictions, ensembles, test-time augmentation and comparisons, against PyTorch's values
// and the papers' definitions (tests/fixtures/make_evaluation.py) and worked examples.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <tinynet/io/safetensors.hpp>
#include <tinynet/train/calibration.hpp>
#include <tinynet/train/confusion.hpp>
#include <tinynet/train/ensemble.hpp>
#include <tinynet/train/test_time_augmentation.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::contains;
using tests::message_of;
using train::Predictions;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

io::Safetensors fixture() {
  return io::Safetensors::open(std::filesystem::path(__FILE__).parent_path() /
                               "fixtures/evaluation.safetensors");
}

std::vector<std::int64_t> places(std::int64_t n) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < n; ++i) samples.push_back(i);
  return samples;
}

Predictions stored(const char* logits = "logits") {
  const auto file = fixture();
  return {file.read<float>(logits), file.read<std::int32_t>("labels"), places(300)};
}

/// Two classes, from pairs of logits.
Predictions predictions(std::vector<float> logits, std::vector<std::int32_t> labels,
                        std::int64_t classes = 2) {
  const auto n = static_cast<std::int64_t>(labels.size());
  return {Tensor<float>::from({n, classes}, logits), Tensor<std::int32_t>::from({n}, labels),
          places(n)};
}

/// 4 x 4 images whose first pixel is their number.
data::Dataset numbered(std::int64_t n) {
  auto images = Tensor<std::uint8_t>::full({n, 4, 4, 1}, 7);
  Tensor<std::int32_t> labels({n});
  for (std::int64_t i = 0; i < n; ++i) {
    images(i, 0, 0, 0) = static_cast<std::uint8_t>(i);
    labels(i) = static_cast<std::int32_t>(i % 2);
  }
  return data::Dataset("numbered", images, labels, {"even", "odd"});
}

void check_close(const Tensor<float>& a, const Tensor<double>& b, double bound) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{a.data()[i]} - b.data()[i]));
  }
  CHECK(largest < bound);
}

}  // namespace

TEST_CASE("top k, loss, confusion matrix and calibration error are PyTorch's") {
  const auto file = fixture();
  const auto seen = stored();
  const auto top = file.read<std::int64_t>("top");
  for (std::int64_t k = 1; k <= 10; ++k) {
    CHECK(train::top_k(seen, k).correct() == top(k - 1));
    CHECK(train::top_k(seen, k).total() == 300);
  }
  const auto evaluation = train::evaluate(seen);
  CHECK(evaluation.correct == top(0));
  CHECK(evaluation.loss == doctest::Approx(file.read<double>("nll").item()).epsilon(1e-6));
  CHECK(train::calibration_error(seen) ==
        doctest::Approx(file.read<double>("calibration_error_15").item()).epsilon(1e-5));
  CHECK(train::calibration_error(seen, 4) ==
        doctest::Approx(file.read<double>("calibration_error_4").item()).epsilon(1e-5));

  const train::ConfusionMatrix matrix(seen);
  const auto counts = file.read<std::int64_t>("confusion");
  for (int i = 0; i < 10; ++i) {
    for (int j = 0; j < 10; ++j) CHECK(matrix(i, j) == counts(i, j));
  }
}

TEST_CASE("the interval of a mean loss") {
  // Losses log(1 + e^-1) and log(1 + e^2): the standard error of two values is half of their distance.
  const double first = std::log1p(std::exp(-1.0)), second = std::log1p(std::exp(2.0));
  const auto two = train::loss_interval(predictions({1, 0, 0, 2}, {0, 0}));
  const double mean = (first + second) / 2, half = 1.959964 * (second - first) / 2;
  CHECK(two.low == doctest::Approx(mean - half).epsilon(1e-6));
  CHECK(two.high == doctest::Approx(mean + half).epsilon(1e-6));
  const auto one = train::loss_interval(predictions({1, 0}, {0}));
  CHECK(one.low == doctest::Approx(first));
  CHECK(one.high == one.low);
  const auto many = stored();
  const auto interval = train::loss_interval(many);
  CHECK((interval.low + interval.high) / 2 == doctest::Approx(train::evaluate(many).loss));
}

TEST_CASE("top k counts equal logits in the order of argmax, and no NaN") {
  const auto seen = predictions({1, 1, 1, 3, 1, 2, not_a_number, 5, 1}, {1, 2, 1}, 3);
  CHECK(train::top_k(seen, 1).correct() == 0);
  CHECK(train::top_k(seen, 2).correct() == 2);
  CHECK(train::top_k(seen, 3).correct() == 2);
  CHECK(message_of<ShapeError>([&] { train::top_k(seen, 4); }) ==
        "[top_k] k must be a number of classes\n  expected  1 to 3\n  came    4");
  for (const std::int32_t label : {-1, 3}) {
    const auto wrong = predictions({1, 2, 3, 4, 5, 6}, {0, label}, 3);
    const auto text = message_of<ShapeError>([&] { train::top_k(wrong, 1); });
    CHECK(contains(text, "[top_k] a label is no class\n  expected  0 to 2\n  came    " +
                             std::to_string(label) + " "));
    CHECK(contains(text, "row 1"));
  }
}

TEST_CASE("a confusion matrix knows classes, the worst of them and what is taken for what") {
  train::ConfusionMatrix matrix(4);
  CHECK(message_of<StateError>([&] { matrix.worst_class(); }) ==
        "[worst_class] no sample was counted");
  const auto add = [&](int label, int predicted, int times) {
    for (int i = 0; i < times; ++i) matrix.add(label, predicted);
  };
  add(0, 0, 8), add(0, 1, 2);
  add(1, 1, 5), add(1, 0, 3), add(1, 2, 2);
  add(2, 2, 9), add(2, -1, 1);  // NaN
  const auto one = matrix.of_class(1);
  CHECK(one.accuracy() == 0.5);
  CHECK(one.precision() == doctest::Approx(5.0 / 7));
  CHECK(one.low == doctest::Approx(0.23659).epsilon(1e-4));  // statsmodels, Wilson
  CHECK(one.high == doctest::Approx(0.76341).epsilon(1e-4));
  CHECK(matrix.of_class(2).accuracy() == 0.9);
  CHECK(std::isnan(matrix.of_class(3).accuracy()));
  CHECK(matrix.worst_class().label == 1);
  const auto confused = matrix.most_confused(2);
  REQUIRE(confused.size() == 2);
  CHECK(confused[0].label == 1);
  CHECK(confused[0].predicted == 0);
  CHECK(confused[0].count == 3);
  CHECK(confused[1].label == 0);
  CHECK(matrix.most_confused(99).size() == 3);
  CHECK(message_of<ShapeError>([&] { matrix.add(4, 0); }) ==
        "[confusion_matrix] there is no such class\n  label   4\n  came    0                   as "
        "prediction\n  expected  0 to 3");

  CHECK(train::class_table(matrix, {"Kleid", "Mütze", "Schuh", "Tasche"}) ==
        "class   accuracy %   95 % interval  precision %  samples\n"
        "Kleid        80.00  49.02 to 94.33        72.73       10\n"
        "Mütze        50.00  23.66 to 76.34        71.43       10\n"
        "Schuh        90.00  59.58 to 98.21        81.82       10\n"
        "Tasche           -               -            -        0\n"
        "worst class: Mütze, 50.00 %\n");
  CHECK(train::confusion_table(matrix, 2, {"Kleid", "Mütze"}) ==
        "class  taken for  times  % of class\n"
        "Mütze      Kleid      3       30.00\n"
        "Kleid      Mütze      2       20.00\n");
  CHECK(train::to_string(matrix, {"Kleid", "Mütze"}) ==
        "class \\ taken for  0  1  2  3\n"
        "0 Kleid            8  2  0  0\n"
        "1 Mütze            3  5  2  0\n"
        "2                  0  0  9  0\n"
        "3                  0  0  0  0\n");
}

TEST_CASE("bins of confidence, and the mistakes that a model was surest of") {
  // Confidences 0.5, 0.731, 0.953, 0.993 (wrong) and NaN.
  const auto seen = predictions({0, 0, 1, 0, 0, 3, 5, 0, not_a_number, 0}, {0, 1, 1, 1, 0});
  const auto bins = train::calibration(seen, 2);
  CHECK(bins[0].total == 1);  // 0.5 belongs to (0, 0.5]
  CHECK(bins[1].total == 3);
  CHECK(bins[1].correct == 1);
  CHECK(bins[1].confidence == doctest::Approx((0.731059 + 0.952574 + 0.993307) / 3));
  CHECK(train::calibration_error(seen, 2) ==
        doctest::Approx(0.25 * 0.5 + 0.75 * (0.892313 - 1.0 / 3)).epsilon(1e-5));
  const auto mistakes = train::confident_mistakes(seen, 10);
  REQUIRE(mistakes.size() == 2);
  CHECK(mistakes[0].row == 3);
  CHECK(mistakes[0].confidence == doctest::Approx(0.993307));
  CHECK(mistakes[0].predicted == 0);
  CHECK(mistakes[1].row == 1);
  CHECK(train::confident_mistakes(seen, 1).size() == 1);
  CHECK(message_of<ShapeError>([&] { train::calibration(seen, 0); }) ==
        "[calibration] needs a bin\n  came    0");
}

TEST_CASE("an ensemble means probabilities or logits") {
  const auto file = fixture();
  for (const auto& [how, name] : {std::pair{train::Combine::probabilities, "mean_probabilities"},
                                  std::pair{train::Combine::logits, "mean_logits"}}) {
    train::Ensemble ensemble(how);
    ensemble.add(stored("logits"), 3);
    ensemble.add(stored("logits_b"), 1);
    CHECK(ensemble.size() == 2);
    check_close(train::probabilities(ensemble.predictions()), file.read<double>(name), 1e-6);
  }
}

TEST_CASE("an ensemble votes, and probabilities decide where votes tie") {
  train::Ensemble ensemble(train::Combine::votes);
  ensemble.add(predictions({1, 0, 0, /**/ 9, 0, 0}, {0, 0}, 3));
  ensemble.add(predictions({1, 0, 0, /**/ 0, 1, 0}, {0, 0}, 3));
  ensemble.add(predictions({0, 0, 99, /**/ 0, 0, 2}, {0, 0}, 3));
  const auto all = ensemble.predictions();
  CHECK(all.predicted(0) == 0);  // the mean of probabilities says 2
  CHECK(all.predicted(1) == 0);
  const auto chances = train::probabilities(all);
  CHECK(chances(0, 0) + chances(0, 1) + chances(0, 2) == doctest::Approx(1));
  CHECK(std::isfinite(train::evaluate(all).loss));
}

TEST_CASE("no number of firm opinions outweighs a vote") {
  train::Ensemble equal(train::Combine::votes);
  for (int member = 0; member < 2; ++member) equal.add(predictions({0.02f, 0, -20}, {0}, 3));
  equal.add(predictions({-20, 20, -20}, {0}, 3));
  equal.add(predictions({-20, 0, 0.02f}, {0}, 3));
  CHECK(equal.predictions().predicted(0) == 0);  // by the mean of probabilities it is 1
  train::Ensemble weighted(train::Combine::votes);
  weighted.add(predictions({0.01f, 0, -9}, {0}, 3), 1.1);
  weighted.add(predictions({-9, 9, -9}, {0}, 3), 1);
  const auto chances = train::probabilities(weighted.predictions());
  CHECK(chances(0, 0) > chances(0, 1));
  CHECK(chances(0, 1) > chances(0, 2));
}

TEST_CASE("members of an ensemble must have seen the same, and may come from files") {
  const auto path = std::filesystem::temp_directory_path() / "tinynet_predictions.safetensors";
  const auto seen = stored();
  train::save_predictions(seen, path);
  train::Ensemble ensemble;
  CHECK(message_of<StateError>([&] { ensemble.predictions(); }) == "[ensemble] it has no members");
  ensemble.add(train::load_predictions(path));
  ensemble.add(seen);
  CHECK(train::evaluate(ensemble.predictions()).correct == train::evaluate(seen).correct);
  CHECK(contains(message_of<StateError>([&] { ensemble.add(seen, 0); }),
                 "[combine] weight is out of range\n  expected  above 0\n  came    0"));
  auto other = seen;
  std::swap(other.samples[0], other.samples[1]);
  CHECK(message_of<StateError>([&] { ensemble.add(other); }) ==
        "[ensemble] the members did not see the same samples\n  expected  300                 "
        "samples\n  came    300                 samples, in another order or of another data set\n "
        " hint: predict every "
        "member with the same loader, without shuffling");
  train::save_predictions({seen.logits.rows(0, 299), seen.labels, seen.samples}, path);
  CHECK(contains(message_of<DataError>([&] { train::load_predictions(path); }),
                 "[load_predictions] needs a row of logits for each label"));
  for (const std::int32_t label : {-1, 2}) {
    train::save_predictions(predictions({1, 2, 3, 4}, {1, label}), path);
    const auto text = message_of<DataError>([&] { train::load_predictions(path); });
    CHECK(contains(text, "[load_predictions] a label is no class\n  file    " + path.string() +
                             "\n  expected  0 to 1\n  came    " + std::to_string(label) + " "));
    CHECK(contains(text, "row 1"));
  }
  std::filesystem::remove(path);
}

TEST_CASE("predict keeps the samples together, in any order and with a short last batch") {
  const auto model = [](const Variable<float>& x, Context& ctx) {
    CHECK(ctx.tape == nullptr);
    CHECK(!ctx.is_training());
    Tensor<bfloat16> logits({x.shape()[0], 2});
    for (std::int64_t i = 0; i < x.shape()[0]; ++i) {
      logits(i, 0) = bfloat16(x.value()(i, 0, 0, 0) * 255);
      logits(i, 1) = bfloat16(0.0f);
    }
    return Variable<bfloat16>(logits);
  };
  for (const bool drop_last : {false, true}) {
    const data::Loader<float> loader(numbered(20), {.batch_size = 8, .drop_last = drop_last});
    const auto all = train::predict(model, loader);
    REQUIRE(all.size() == (drop_last ? 16 : 20));
    CHECK(all.classes() == 2);
    CHECK(all.samples != places(all.size()));
    for (std::int64_t i = 0; i < all.size(); ++i) {
      const auto sample = all.samples[std::size_t(i)];
      CHECK(all.row(i)[0] == doctest::Approx(double(sample)));
      CHECK(all.label(i) == sample % 2);
    }
  }
  const auto wrong = [](const Variable<float>&, Context&) {
    return Variable<float>(Tensor<float>::zeros({3, 2}));
  };
  const data::Loader<float> loader(numbered(20), {.batch_size = 8});
  CHECK(message_of<ShapeError>([&] { train::predict(wrong, loader); }) ==
        "[predict] the model must give one row of logits for each image\n  expected  [8, "
        "classes]\n  came    [3, 2]");
}

TEST_CASE("predict gives a row for each view of a sample") {
  std::int64_t shown = 0;
  const auto model = [&](const Variable<float>& x, Context&) {
    Tensor<float> logits({x.shape()[0], 2});
    for (std::int64_t i = 0; i < x.shape()[0]; ++i) {
      logits(i, 0) = x.value()(i, 0, 0, 0) * 255;
      logits(i, 1) = 0;
    }
    shown += x.shape()[0];
    return Variable<float>(logits);
  };
  for (const bool drop_last : {false, true}) {
    for (const bool growing : {false, true}) {
      CAPTURE(drop_last);
      CAPTURE(growing);
      const data::Loader<float> loader(numbered(20), {.batch_size = 9,
                                                      .shuffle = false,
                                                      .drop_last = drop_last,
                                                      .views = 3,
                                                      .growing_batch = growing});
      // Batches of 9 samples, or of 9 images of 3 samples.
      const std::int64_t samples = drop_last ? 18 : 20;
      CHECK(loader.images() == 3 * samples);
      shown = 0;
      const auto all = train::predict(model, loader);
      CHECK(shown == 3 * samples);
      REQUIRE(all.size() == 3 * samples);
      REQUIRE(all.logits.shape() == Shape{3 * samples, 2});
      REQUIRE(all.samples.size() == std::size_t(3 * samples));
      for (std::int64_t i = 0; i < all.size(); ++i) {
        CHECK(all.samples[std::size_t(i)] == i / 3);
        CHECK(all.row(i)[0] == doctest::Approx(double(i / 3)));
        CHECK(all.label(i) == i / 3 % 2);
      }
      CHECK(train::evaluate(model, loader).total == 3 * samples);
    }
  }
}

TEST_CASE("more rows than were announced are refused, not written") {
  Predictions all;
  train::detail::PredictionWriter writer(all, 3);
  const auto add = [&](std::int64_t n) {
    writer.add(Tensor<float>::ones({n, 2}), Tensor<std::int32_t>::zeros({n}), places(n));
  };
  add(2);
  CHECK(message_of<ShapeError>([&] { add(2); }) ==
        "[predict] there are more images than the loader has in an epoch\n  expected  3\n  came    "
        "4");
  add(1);
  CHECK(all.samples == std::vector<std::int64_t>{0, 1, 0});
}

TEST_CASE("views move and mirror as PyTorch's padding, slices and flips do") {
  const auto file = fixture();
  const auto images = file.read<float>("images");
  const auto same = [&](const train::View& view, data::Border border, const char* name) {
    const auto expected = file.read<float>(name);
    const auto seen = train::apply<float>(view, images, border);
    return std::equal(seen.data(), seen.data() + seen.size(), expected.data());
  };
  CHECK(same({.down = 2, .right = -1}, data::Border::reflect, "reflect_down_2_left_1"));
  CHECK(same({.down = -1, .right = 2, .mirror = true}, data::Border::reflect,
             "reflect_up_1_right_2_mirror"));
  CHECK(same({.down = 1, .right = 1, .mirror = true}, data::Border::zero,
             "zero_down_1_right_1_mirror"));
  const std::vector<float> black{-1, -2, -3};
  const auto seen = train::apply<float>({.right = 1}, images, data::Border::zero, black);
  CHECK(seen(1, 4, 0, 0) == -1);
  CHECK(seen(1, 4, 0, 2) == -3);
  double total = 0;
  for (const auto& view : train::six_views()) total += view.weight;
  CHECK(total == 1);
}

namespace {

/// Sees the difference of the two pixels on the left and counts the images that it was shown.
struct LeftPixels {
  std::int64_t shown = 0;
  Variable<float> operator()(const Variable<float>& x, Context&) {
    Tensor<float> logits({x.shape()[0], 2});
    for (std::int64_t i = 0; i < x.shape()[0]; ++i) {
      logits(i, 0) = 4 * (x.value()(i, 0, 0, 0) - x.value()(i, 3, 0, 0));
      logits(i, 1) = 0;
    }
    shown += x.shape()[0];
    return Variable<float>(logits);
  }
};

}  // namespace

TEST_CASE("test-time augmentation means what the model says of the views") {
  const data::Loader<float> loader(numbered(20), {.batch_size = 8, .shuffle = false});
  LeftPixels model;
  const auto plain = train::predict(model, loader);
  const auto mean = train::predict(
      model, loader,
      {.views = {{.weight = 3}, {.mirror = true, .weight = 1}}, .combine = train::Combine::logits});
  CHECK(model.shown == 60);
  // A mirrored image has 7 in both places: logits of zero.
  for (std::int64_t i = 0; i < 20; ++i) {
    CHECK(mean.row(i)[0] == doctest::Approx(0.75 * plain.row(i)[0]));
  }
  const auto black = train::predict(
      model, loader,
      {.views = {{.down = 1}}, .border = data::Border::zero, .combine = train::Combine::logits});
  CHECK(black.row(0)[0] == doctest::Approx(-4 * 7 / 255.0));

  SUBCASE("of the least certain images alone") {
    model.shown = 0;
    const train::TestTimeAugmentation quarter{.combine = train::Combine::logits, .share = 0.25};
    const auto some = train::predict(model, loader, quarter);
    CHECK(model.shown == 20 + 2 * 5);
    for (std::int64_t i = 0; i < 20; ++i) {
      const bool doubtful = i >= 5 && i <= 9;  // 7, the pixel below, is nearest
      CHECK(some.row(i)[0] == doctest::Approx((doubtful ? 0.5 : 1) * plain.row(i)[0]));
    }
    const data::Loader<float> shuffled(numbered(20), {.batch_size = 8});
    const auto other = train::predict(model, shuffled, quarter);
    for (std::int64_t i = 0; i < 20; ++i) {
      CHECK(other.row(i)[0] == some.row(other.samples[std::size_t(i)])[0]);
    }
    CHECK(train::evaluate(model, loader, {.share = 0}).loss == train::evaluate(plain).loss);
    for (const bool growing : {true, false}) {  // three rows a sample, each looked at again
      const data::Loader<float> triple(
          numbered(20), {.batch_size = 9, .shuffle = false, .views = 3, .growing_batch = growing});
      model.shown = 0;
      const auto rows = train::predict(model, triple, quarter);
      CHECK(model.shown == 60 + 2 * 15);
      REQUIRE(rows.size() == 60);
      for (std::int64_t i = 0; i < 60; ++i) CHECK(rows.row(i)[0] == some.row(i / 3)[0]);
    }
  }
}

TEST_CASE("test-time augmentation refuses what makes no sense") {
  const data::Loader<float> loader(numbered(4), {});
  LeftPixels model;
  const auto error = [&](const train::TestTimeAugmentation& options) {
    return message_of<ShapeError>([&] { train::predict(model, loader, options); });
  };
  CHECK(error({.views = {}}) == "[test_time_augmentation] needs a view");
  CHECK(error({.share = 1.5}) ==
        "[test_time_augmentation] the share lies between 0 and 1\n  came    1.5");
  CHECK(error({.views = {{.down = -4}}}) ==
        "[test_time_augmentation] a view moves the image out of sight\n  view    -4 down, 0 to the "
        "right\n  image   4 x 4 pixels");
  CHECK(error({.views = {{.weight = 0}}}) ==
        "[test_time_augmentation] weights are positive\n  came    0");
}
