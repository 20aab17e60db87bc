#pragma once

#include <cstdint>

#include <tinynet/data/loader.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/train/metrics.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// How a model does on a data set.
struct Evaluation {
  double loss = 0;           // cross-entropy, mean over the samples
  double accuracy = 0;       // of the largest logit, 0 to 1
  double low = 0, high = 1;  // its 95 % interval (Wilson)
  std::int64_t correct = 0, total = 0;
};

/// Runs a model over one epoch of a loader, in evaluation mode and without a tape. The model is
/// anything that can be called as model(images, ctx) and gives logits [n, classes].
template <class Model, Scalar T>
Evaluation evaluate(Model& model, const data::Loader<T>& loader) {
  Mean loss;
  Accuracy accuracy;
  for (const auto& batch : loader.epoch()) {
    auto ctx = Context::evaluation();
    const auto logits = model(Variable<T>(batch.images), ctx);
    loss.add(ops::cross_entropy(logits, batch.labels, {}, ctx).item(),
             static_cast<double>(batch.size()));
    accuracy.add(count_correct(logits, batch.labels), batch.size());
  }
  const auto [low, high] = wilson(accuracy.correct(), accuracy.total());
  return {loss.value(), accuracy.value(), low, high, accuracy.correct(), accuracy.total()};
}

}  // namespace tinynet::inline TINYNET_ABI::train
