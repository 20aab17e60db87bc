#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include <tinynet/ops/loss.hpp>
#include <tinynet/train/predict.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How a model does on a data set.
struct Evaluation {
  double loss = 0;           // cross-entropy (negative log-likelihood), mean over the samples
  double accuracy = 0;       // of the largest logit, 0 to 1
  double low = 0, high = 1;  // its 95 % interval (Wilson)
  std::int64_t correct = 0, total = 0;
};

/// Loss and accuracy of predictions. Throws ShapeError for a label that is no class.
inline Evaluation evaluate(const Predictions& predictions) {
  auto ctx = Context::evaluation();
  const double loss =
      ops::cross_entropy(Variable<float>(predictions.logits), predictions.labels, {}, ctx).item();
  const auto total = predictions.size();
  const auto correct = count_correct(predictions.logits, predictions.labels);
  const auto [low, high] = wilson(correct, total);
  return {loss, static_cast<double>(correct) / static_cast<double>(total), low, high, correct,
          total};
}

/// Runs a model over one epoch of a loader as `predict` does. To look further than at the accuracy,
/// keep the predictions:
///
///     const auto predictions = train::predict(model, tests);
///     const auto test = train::evaluate(predictions);
///     const train::ConfusionMatrix confusion(predictions);
template <class Model, Scalar T>
[[gnu::noinline]] Evaluation evaluate(Model& model, const data::Loader<T>& loader) {
  return evaluate(predict(model, loader));
}

/// The 95 % interval of the mean loss: 1.96 of its standard errors on either side, from how far the
/// losses of single samples lie apart. Both ends are the mean where there is one sample. `predictions`
/// have labels that `evaluate` takes.
template <class = void>
Interval loss_interval(const Predictions& predictions) {
  const auto n = static_cast<double>(predictions.size());
  double mean = 0, squares = 0;  // of deviations, by Welford's updates
  for (std::int64_t i = 0; i < predictions.size(); ++i) {
    const auto row = predictions.row(i);
    const double logit = row[static_cast<std::size_t>(predictions.label(i))];
    const double loss = kernels::reference::log_sum_exp(row.data(), predictions.classes()) - logit;
    const double deviation = loss - mean;
    mean += deviation / static_cast<double>(i + 1);
    squares += deviation * (loss - mean);
  }
  const double error = n > 1 ? std::sqrt(squares / (n - 1) / n) : 0;
  return {mean - normal_quantile * error, mean + normal_quantile * error};
}

/// The accuracy of a model that may name k classes: a sample is correct where fewer than k classes
/// have a larger logit than its label (of equal ones the first counts as larger, as in `argmax`). A
/// row with a NaN is never correct. Throws ShapeError for a k that is not 1 to classes, and for a label
/// that is no class.
template <class = void>
Accuracy top_k(const Predictions& predictions, std::int64_t k) {
  if (k < 1 || k > predictions.classes()) {
    throw ShapeError(Message("top_k", "k must be a number of classes")
                         .fact("expected", {"1 to ", predictions.classes()})
                         .fact("came", k));
  }
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < predictions.size(); ++i) {
    const auto row = predictions.row(i);
    const auto came = predictions.label(i);
    if (came < 0 || came >= predictions.classes()) {
      throw ShapeError(Message("top_k", "a label is no class")
                           .fact("expected", {"0 to ", predictions.classes() - 1})
                           .fact("came", came, {"row ", i}));
    }
    const auto label = static_cast<std::size_t>(came);
    std::int64_t ahead = 0;
    for (std::size_t j = 0; j < row.size(); ++j) {
      ahead += row[j] > row[label] || (row[j] == row[label] && j < label);
    }
    correct += ahead < k && predictions.predicted(i) >= 0;
  }
  Accuracy accuracy;
  accuracy.add(correct, predictions.size());
  return accuracy;
}

/// "91.20 % (95 % interval 90.63 to 91.74), loss 0.2481"
template <class = void>
[[gnu::noinline]] std::string to_string(const Evaluation& evaluation) {
  char text[128];
  std::snprintf(text, sizeof text, "%.2f %% (95 %% interval %.2f to %.2f), loss %.4f",
                100 * evaluation.accuracy, 100 * evaluation.low, 100 * evaluation.high,
                evaluation.loss);
  return text;
}

}  // namespace tinynet::inline TINYNET_ABI::train
