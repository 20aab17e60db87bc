#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

#include <tinynet/train/compare.hpp>
#include <tinynet/train/history.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// What the accuracies on training and test images say about a model.
enum class Fit { underfitting, balanced, overfitting };

/// Overfitting: more than `gap` better on the training images than on the test images, and not by
/// chance. Underfitting: no more than `gap` better, and wrong on more than `error` of the images that
/// it was trained on. Both evaluations are of the finished model, on images without augmentation.
template <class = void>
Fit diagnose(const Evaluation& training, const Evaluation& test, double gap = 0.02,
             double error = 0.05) {
  const auto difference = compare(test, training);
  if (difference.difference > gap && difference.low > 0) return Fit::overfitting;
  return training.accuracy < 1 - error ? Fit::underfitting : Fit::balanced;
}

/// The gap between the two accuracies, and what to try:
///
///     "99.41 % on the training images, 91.80 % on unseen images: a gap of 7.61 points, overfitting.
///      More augmentation, weight decay or dropout may help."
template <class = void>
std::string describe_gap(const Evaluation& training, const Evaluation& test) {
  const auto fit = diagnose(training, test);
  const char* verdict = "neither overfitting nor underfitting.";
  if (fit == Fit::overfitting) {
    verdict = "overfitting. More augmentation, weight decay or dropout may help.";
  } else if (fit == Fit::underfitting) {
    verdict = "underfitting. More epochs, a larger model or less augmentation may help.";
  }
  char text[256];
  std::snprintf(
      text, sizeof text,
      "%.2f %% on the training images, %.2f %% on unseen images: a gap of %.2f points, %s",
      100 * training.accuracy, 100 * test.accuracy, 100 * (training.accuracy - test.accuracy),
      verdict);
  return text;
}

/// The place of the first epoch of the plateau that a training loss ended in: from there on it never
/// fell by more than `relative` below that epoch's. None where it still fell, or fewer than `epochs`
/// came after.
template <class = void>
std::optional<std::size_t> plateau(const History& history, double relative = 0.03,
                                   std::size_t epochs = 3) {
  if (history.size() <= epochs) return std::nullopt;
  auto first = history.size() - 1;
  double lowest = history.back().loss;
  while (first > 0 && history[first - 1].loss * (1 - relative) <= lowest) {
    --first;
    lowest = std::min(lowest, history[first].loss);
  }
  if (history.size() - 1 - first < epochs) return std::nullopt;
  return first;
}

/// Whether more epochs promise anything:
///
///     "the training loss has stayed between 0.3112 and 0.3301 since epoch 15: a plateau"
///     "the training loss was still falling, by 6.1 % in the last epoch: no plateau"
///
/// Empty for fewer than two epochs, and for losses that are not finite or not positive.
template <class = void>
std::string describe_plateau(const History& history) {
  if (history.size() < 2) return "";
  char text[160];
  if (const auto first = plateau(history)) {
    double low = history[*first].loss, high = low;
    for (auto i = *first; i < history.size(); ++i) {
      low = std::min(low, history[i].loss);
      high = std::max(high, history[i].loss);
    }
    std::snprintf(text, sizeof text,
                  "the training loss has stayed between %.4f and %.4f since epoch %lld: a plateau",
                  low, high, static_cast<long long>(history[*first].epoch + 1));
    return text;
  }
  const double before = history[history.size() - 2].loss;
  if (!std::isfinite(before) || !std::isfinite(history.back().loss)) return "";
  if (before == 0 && history.back().loss == 0) return "the training loss is zero";
  if (before <= 0) return "";  // no share of it says anything
  const double fall = 100 * (before - history.back().loss) / before;
  if (fall > 0) {
    std::snprintf(text, sizeof text,
                  "the training loss was still falling, by %.1f %% in the last epoch: no plateau",
                  fall);
  } else {
    std::snprintf(text, sizeof text,
                  "the training loss rose by %.1f %% in the last epoch: no plateau", -fall);
  }
  return text;
}

}  // namespace tinynet::inline TINYNET_ABI::train
