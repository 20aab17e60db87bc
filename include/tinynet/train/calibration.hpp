#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <tinynet/train/predict.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How sure a model is of a prediction, and whether it is right to be.
struct Judgement {
  std::int64_t row = 0;  // in the predictions
  std::int32_t label = 0, predicted = 0;
  float confidence = 0;  // the largest probability; NaN where a logit is

  bool correct() const { return label == predicted; }
};

/// One for each prediction.
template <class = void>
std::vector<Judgement> judgements(const Predictions& predictions) {
  const auto chances = probabilities(predictions);
  const auto k = predictions.classes();
  std::vector<Judgement> all;
  all.reserve(static_cast<std::size_t>(predictions.size()));
  for (std::int64_t i = 0; i < predictions.size(); ++i) {
    const auto winner = predictions.predicted(i);
    const float confidence =
        winner < 0 ? std::numeric_limits<float>::quiet_NaN() : chances.data()[i * k + winner];
    all.push_back({i, predictions.label(i), winner, confidence});
  }
  return all;
}

/// The wrong predictions that the model was surest of, at most `count`, the surest first.
template <class = void>
std::vector<Judgement> confident_mistakes(const Predictions& predictions, std::size_t count) {
  auto all = judgements(predictions);
  std::erase_if(all, [](const Judgement& j) { return j.correct() || std::isnan(j.confidence); });
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.confidence > b.confidence; });
  all.resize(std::min(count, all.size()));
  return all;
}

/// The predictions whose confidence lies in one range.
struct CalibrationBin {
  double low = 0, high = 1;  // the range is (low, high]
  std::int64_t total = 0, correct = 0;
  double confidence = 0;  // mean; NaN where the bin is empty

  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(total); }
};

/// Sorts predictions by confidence into ranges of equal width. Throws ShapeError without ranges.
template <class = void>
std::vector<CalibrationBin> calibration(const Predictions& predictions, int bins = 15) {
  if (bins < 1) throw ShapeError(Message("calibration", "needs a bin").fact("came", bins));
  std::vector<CalibrationBin> result(static_cast<std::size_t>(bins));
  for (int b = 0; b < bins; ++b) {
    result[static_cast<std::size_t>(b)].low = static_cast<double>(b) / bins;
    result[static_cast<std::size_t>(b)].high = static_cast<double>(b + 1) / bins;
  }
  for (const auto& one : judgements(predictions)) {
    if (std::isnan(one.confidence)) continue;
    const auto place = static_cast<int>(std::ceil(double{one.confidence} * bins)) - 1;
    auto& bin = result[static_cast<std::size_t>(std::clamp(place, 0, bins - 1))];
    ++bin.total;
    bin.correct += one.correct();
    bin.confidence += one.confidence;
  }
  for (auto& bin : result) bin.confidence /= static_cast<double>(bin.total);
  return result;
}

/// The expected calibration error, 0 to 1: how far confidence and accuracy lie apart, as the mean
/// over ranges of confidence, weighed by their samples (Guo, Pleiss, Sun, Weinberger 2017, eq. 3).
/// Zero says that of predictions made with 80 % confidence 80 % are right. Rows with a NaN do not
/// take part.
template <class = void>
double calibration_error(const Predictions& predictions, int bins = 15) {
  double error = 0, total = 0;
  for (const auto& bin : calibration(predictions, bins)) {
    if (bin.total == 0) continue;
    const auto weight = static_cast<double>(bin.total);
    error += weight * std::abs(bin.accuracy() - bin.confidence);
    total += weight;
  }
  return error / total;
}

}  // namespace tinynet::inline TINYNET_ABI::train
