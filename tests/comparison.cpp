// What may be said of accuracies: differences with their intervals, gaps, plateaus, selections.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <tinynet/train/diagnosis.hpp>
#include <tinynet/train/selection.hpp>

#include "messages.hpp"

using namespace tinynet;
using tests::message_of;

namespace {

train::Evaluation evaluation(std::int64_t correct, std::int64_t total) {
  const auto [low, high] = train::wilson(correct, total);
  return {0.5, double(correct) / double(total), low, high, correct, total};
}

/// Two classes; 1 where the model is right.
train::Predictions answers(const std::vector<int>& right) {
  const auto n = static_cast<std::int64_t>(right.size());
  auto logits = Tensor<float>::zeros({n, 2});
  for (std::int64_t i = 0; i < n; ++i) logits(i, right[std::size_t(i)] ? 0 : 1) = 1;
  std::vector<std::int64_t> samples(right.size());
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  return {logits, Tensor<std::int32_t>::zeros({n}), samples};
}

train::History history(const std::vector<double>& losses) {
  train::History all;
  for (const auto loss : losses) {
    all.push_back({.epoch = std::int64_t(all.size()), .loss = loss, .accuracy = 0.5});
  }
  return all;
}

}  // namespace

TEST_CASE("two accuracies on different samples: Newcombe's interval") {
  // Newcombe 1998, table II, (a) 56/70 - 48/80 by method 10: 0.0524 to 0.3339
  const auto result = train::compare(evaluation(48, 80), evaluation(56, 70));
  CHECK(result.difference == doctest::Approx(0.2));
  CHECK(result.low == doctest::Approx(0.0524).epsilon(1e-3));
  CHECK(result.high == doctest::Approx(0.3339).epsilon(1e-3));
  CHECK(result.significant());
  CHECK(result.samples == 70);
  const auto turned = train::compare(evaluation(56, 70), evaluation(48, 80));
  CHECK(turned.low == doctest::Approx(-result.high));
  CHECK(turned.high == doctest::Approx(-result.low));
  CHECK(!train::compare(evaluation(8240, 10000), evaluation(8310, 10000)).significant());
}

TEST_CASE("two models on the same samples: the interval of paired shares") {
  // 60 both right, 20 gained, 6 lost, 14 both wrong
  std::vector<int> first, second;
  const auto add = [&](int a, int b, int times) {
    first.insert(first.end(), std::size_t(times), a);
    second.insert(second.end(), std::size_t(times), b);
  };
  add(1, 1, 60), add(0, 1, 20), add(1, 0, 6), add(0, 0, 14);
  const auto result = train::compare(answers(first), answers(second));
  CHECK(result.difference == doctest::Approx(0.14));
  // Agresti and Min 2005: n = 102, shares 20.5 / 102 and 6.5 / 102
  const double b = 20.5 / 102, c = 6.5 / 102;
  const double half = 1.959964 * std::sqrt((b + c - (b - c) * (b - c)) / 102);
  CHECK(result.low == doctest::Approx(b - c - half));
  CHECK(result.high == doctest::Approx(b - c + half));
  CHECK(result.significant());
  CHECK(train::compare(answers(first), answers(first)).difference == 0);
  CHECK(message_of<StateError>([&] {
          train::compare(answers(first), answers({1, 0}));
        }) ==
        "[compare] the two models were not tested on the same samples\n  first   100               "
        "  samples\n  second  2                   samples\n  hint: predict both with the same "
        "loader, without shuffling");
}

TEST_CASE("a comparison claims no more than it knows") {
  CHECK(train::describe({0.0042, -0.001, 0.0094, 10000}, "plain", "mixup") ==
        "mixup is 0.42 points better than plain (95 % interval -0.10 to +0.94), which may be "
        "chance: 10000 samples do not tell them apart");
  CHECK(train::describe({-0.02, -0.03, -0.01, 10000}, "plain", "mixup") ==
        "mixup is 2.00 points worse than plain (95 % interval -3.00 to -1.00)");
}

TEST_CASE("a variant that does harm is warned of") {
  const auto plain = evaluation(870, 1000);
  CHECK(train::warn_if_worse("EMA", plain, evaluation(861, 1000)).empty());
  CHECK(train::warn_if_worse("EMA", plain, evaluation(999, 1000)).empty());
  CHECK(
      train::warn_if_worse("EMA", plain, evaluation(120, 1000)) ==
      "warning: EMA has 12.00 % accuracy, 75.00 points less than the plain model (87.00 %): it is "
      "broken or too strong, do not use it");
  CHECK(!train::warn_if_worse("EMA", plain, evaluation(868, 1000), 0.1).empty());
}

TEST_CASE("the gap between training and test images is named") {
  using train::Fit;
  CHECK(train::diagnose(evaluation(9950, 10000), evaluation(9100, 10000)) == Fit::overfitting);
  CHECK(train::diagnose(evaluation(9950, 10000), evaluation(9800, 10000)) == Fit::balanced);
  CHECK(train::diagnose(evaluation(8500, 10000), evaluation(8400, 10000)) == Fit::underfitting);
  CHECK(train::diagnose(evaluation(8400, 10000), evaluation(8500, 10000)) == Fit::underfitting);
  CHECK(train::diagnose(evaluation(20, 20), evaluation(19, 20)) == Fit::balanced);  // chance
  CHECK(train::describe_gap(evaluation(9941, 10000), evaluation(9180, 10000)) ==
        "99.41 % on the training images, 91.80 % on unseen images: a gap of 7.61 points, "
        "overfitting. More augmentation, weight decay or dropout may help.");
  CHECK(train::describe_gap(evaluation(84, 100), evaluation(84, 100)) ==
        "84.00 % on the training images, 84.00 % on unseen images: a gap of 0.00 points, "
        "underfitting. More epochs, a larger model or less augmentation may help.");
}

TEST_CASE("a plateau is where the loss no longer falls") {
  CHECK(!train::plateau(history({2, 1, 0.5, 0.4, 0.3, 0.2})));
  CHECK(train::plateau(history({2, 1, 0.500, 0.495, 0.499, 0.490})) == 2u);
  CHECK(!train::plateau(history({2, 1, 0.500, 0.495, 0.490})));  // too short to tell
  CHECK(!train::plateau(history({0.5, 0.45, 0.40, 0.36, 0.33, 0.30})));
  CHECK(!train::plateau({}));
  CHECK(train::describe_plateau(history({2, 1, 0.500, 0.495, 0.499, 0.490})) ==
        "the training loss has stayed between 0.4900 and 0.5000 since epoch 3: a plateau");
  CHECK(train::describe_plateau(history({2, 1})) ==
        "the training loss was still falling, by 50.0 % in the last epoch: no plateau");
  CHECK(train::describe_plateau(history({1, 1.5})) ==
        "the training loss rose by 50.0 % in the last epoch: no plateau");
  CHECK(train::describe_plateau(history({1})).empty());
  CHECK(train::describe_plateau(history({1, NAN})).empty());
  CHECK(train::describe_plateau(history({0, 1})).empty());
  CHECK(train::describe_plateau(history({0, 0})) == "the training loss is zero");
}

TEST_CASE("the best epoch, and what must be said of how it was chosen") {
  using train::Selection;
  auto epochs = history({3, 2, 1});
  CHECK(train::best_epoch(epochs) == 2);
  for (const auto& [i, correct] : {std::pair{0, 5}, std::pair{1, 8}, std::pair{2, 8}}) {
    epochs[std::size_t(i)].validation = evaluation(correct, 10);
  }
  CHECK(train::best_epoch(epochs) == 1);
  epochs[1].validation->accuracy = std::nan("");
  CHECK(train::best_epoch(epochs) == 2);
  CHECK(message_of<StateError>([] { train::best_epoch({}); }) ==
        "[best_epoch] no epoch was trained");
  CHECK(train::selection_of("validation") == Selection::validation);
  CHECK(std::string(train::to_string(Selection::last)) == "last");
  CHECK(message_of<StateError>([] { train::selection_of("best"); }) ==
        "[selection] there is no such selection\n  expected  last, validation or test\n  came    "
        "best");
  CHECK(train::selection_note(Selection::validation).empty());
  CHECK(train::selection_note(Selection::test).find("chosen by its accuracy on the test images") !=
        std::string::npos);
}
