#pragma once

#include <cstddef>
#include <cstdint>

#include <tinynet/data/batch.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/train/metrics.hpp>

/// Loss and accuracy of a batch, whether its images were mixed or not.
namespace tinynet::inline TINYNET_ABI::train {

/// Cross-entropy against the batch's targets where it was mixed, else against its labels.
template <Scalar L, Scalar T>
[[gnu::noinline]] Variable<accumulate_t<L>> cross_entropy(const Variable<L>& logits,  // [n, k]
                                                          const data::Batch<T>& batch,
                                                          const ops::CrossEntropyOptions& options,
                                                          Context& ctx) {
  if (batch.targets.empty()) return ops::cross_entropy(logits, batch.labels, options, ctx);
  return ops::cross_entropy(logits, batch.targets, options, ctx);
}

/// The share of a batch that was classified correctly, 0 to 1. A mixed image counts by the weight
/// of the class that was predicted: both of its labels are right, each as far as it is there. (By
/// its first label alone a network that has learned everything would seem to be wrong half the time.)
template <Scalar L, Scalar T>
[[gnu::noinline]] double accuracy(const Variable<L>& logits,
                                  const data::Batch<T>& batch) {  // [n, k]
  const auto& values = logits.value();
  double correct = 0;
  if (batch.targets.empty()) {
    correct = static_cast<double>(count_correct(values, batch.labels));
  } else {
    if (values.shape() != batch.targets.shape()) {
      throw ShapeError(Message("accuracy", "logits and targets differ in shape")
                           .fact("logits", values.shape(), "(n, classes)")
                           .fact("targets", batch.targets.shape(), "(n, classes)"));
    }
    const auto classes = static_cast<std::size_t>(values.shape()[1]);
    for (std::size_t at = 0; at < values.span().size(); at += classes) {
      const auto predicted = argmax<L>(values.span().subspan(at, classes));
      if (predicted >= 0) correct += batch.targets.span()[at + std::size_t(predicted)];
    }
  }
  return correct / static_cast<double>(batch.size());
}

}  // namespace tinynet::inline TINYNET_ABI::train
