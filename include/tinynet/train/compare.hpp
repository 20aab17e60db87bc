#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include <tinynet/train/evaluate.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How much better one model is than another, as far as the samples can tell.
struct Comparison {
  double difference = 0;      // accuracy of the second minus that of the first, -1 to 1
  double low = -1, high = 1;  // its 95 % interval
  std::int64_t samples = 0;   // that each was tested on; of unlike numbers the smaller

  /// Whether the interval leaves out zero.
  bool significant() const { return low > 0 || high < 0; }
};

/// Compares accuracies that were measured on different samples, or of which no more is known: the
/// interval of Newcombe (1998, method 10), made of the two Wilson intervals. Where both models saw
/// the same samples, `compare(Predictions, Predictions)` sees smaller differences.
template <class = void>
Comparison compare(const Evaluation& first, const Evaluation& second) {
  const auto a = wilson(first.correct, first.total), b = wilson(second.correct, second.total);
  const double p = first.accuracy, q = second.accuracy;
  return {q - p, q - p - std::hypot(q - b.low, a.high - p),
          q - p + std::hypot(b.high - q, p - a.low), std::min(first.total, second.total)};
}

/// Compares two models on the same samples in the same order. What both get right or both wrong says
/// nothing of their difference, so the interval is that of paired shares, Wald's with half a sample
/// added to each of the four cells (Agresti and Min 2005). Throws StateError if the samples differ.
template <class = void>
Comparison compare(const Predictions& first, const Predictions& second) {
  if (!same_samples(first, second)) {
    throw StateError(Message("compare", "the two models were not tested on the same samples")
                         .fact("first", first.size(), "samples")
                         .fact("second", second.size(), "samples")
                         .hint("predict both with the same loader, without shuffling"));
  }
  double gained = 0, lost = 0;
  for (std::int64_t i = 0; i < first.size(); ++i) {
    const auto label = first.label(i);
    const bool before = first.predicted(i) == label, after = second.predicted(i) == label;
    gained += !before && after;
    lost += before && !after;
  }
  const auto n = static_cast<double>(first.size());
  const double added = 0.5, total = n + 4 * added;
  const double middle = (gained - lost) / total;
  const double spread = gained + lost + 2 * added - (gained - lost) * (gained - lost) / total;
  const double half = normal_quantile * std::sqrt(spread) / total;
  return {(gained - lost) / n, std::max(middle - half, -1.0), std::min(middle + half, 1.0),
          first.size()};
}

/// A sentence that claims no more than the samples show:
///
///     "mixup is 0.42 points better than plain (95 % interval -0.10 to +0.94), which may be chance:
///      10000 samples do not tell them apart"
template <class = void>
std::string describe(const Comparison& comparison, const std::string& first,
                     const std::string& second) {
  char text[160];
  std::snprintf(text, sizeof text, " is %.2f points %s than ",
                100 * std::abs(comparison.difference),
                comparison.difference < 0 ? "worse" : "better");
  std::string sentence = second + text + first;
  std::snprintf(text, sizeof text, " (95 %% interval %+.2f to %+.2f)", 100 * comparison.low,
                100 * comparison.high);
  sentence += text;
  if (comparison.significant()) return sentence;
  return sentence + ", which may be chance: " + std::to_string(comparison.samples) +
         " samples do not tell them apart";
}

/// A warning where a variant of a model (test-time augmentation, an average of its weights) is worse
/// than the plain one by more than `points` hundredths: then the variant is broken, since it should
/// do no harm. Empty where all is well.
template <class = void>
std::string warn_if_worse(const std::string& variant, const Evaluation& plain,
                          const Evaluation& other, double points = 1) {
  if (!(plain.accuracy - other.accuracy > points / 100)) return "";
  char text[160];
  std::snprintf(
      text, sizeof text, " has %.2f %% accuracy, %.2f points less than the plain model (%.2f %%): ",
      100 * other.accuracy, 100 * (plain.accuracy - other.accuracy), 100 * plain.accuracy);
  return "warning: " + variant + text + "it is broken or too strong, do not use it";
}

}  // namespace tinynet::inline TINYNET_ABI::train
