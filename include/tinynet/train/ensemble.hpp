#pragma once

#include <algorithm>
#include <utility>

#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/safetensors_writer.hpp>
#include <tinynet/train/combine.hpp>
#include <tinynet/train/evaluate.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// Several models as one. A member is what a model said of the samples, so that members need neither
/// the same type nor to be in memory together:
///
///     train::Ensemble ensemble;
///     for (const auto& path : saved) {
///       nn::load(model, path);
///       ensemble.add(train::predict(model, tests));
///     }
///     const auto all = train::evaluate(ensemble.predictions());
template <class = void>
class EnsembleOnDemand {
 public:
  explicit EnsembleOnDemand(Combine how = Combine::probabilities) : combination_(how) {}

  /// Throws StateError for a member that saw other samples than the first, and for a weight that is
  /// not above zero.
  void add(const Predictions& member, double weight = 1) {
    if (members_ == 0) {
      first_.labels = member.labels;
      first_.samples = member.samples;
    } else if (!same_samples(member, first_)) {
      throw StateError(
          Message("ensemble", "the members did not see the same samples")
              .fact("expected", first_.size(), "samples")
              .fact("came", member.size(), "samples, in another order or of another data set")
              .hint("predict every member with the same loader, without shuffling"));
    }
    combination_.add(member.logits, weight);
    ++members_;
  }

  std::int64_t size() const { return members_; }

  /// What the members say together. Throws StateError if there are none.
  Predictions predictions() const {
    if (members_ == 0) throw StateError(Message("ensemble", "it has no members"));
    auto result = first_;
    result.logits = combination_.logits();
    return result;
  }

 private:
  Combination combination_;
  Predictions first_;  // labels and samples of all
  std::int64_t members_ = 0;
};
using Ensemble = EnsembleOnDemand<>;

/// Writes predictions as a safetensors file: members of an ensemble may come from several runs.
template <class = void>
void save_predictions(const Predictions& predictions, const std::string& path) {
  io::SafetensorsWriter file;
  file.add("logits", predictions.logits);
  file.add("labels", predictions.labels);
  file.add("samples", Tensor<std::int64_t>::from({predictions.size()}, predictions.samples));
  file.write(path);
}

/// Reads them back. Throws DataError where the file holds something else.
template <class = void>
Predictions load_predictions(const std::string& path) {
  const auto file = io::Safetensors::open(path);
  const auto samples = file.read<std::int64_t>("samples");
  Predictions result{file.read<float>("logits"),
                     file.read<std::int32_t>("labels"),
                     {samples.data(), samples.data() + samples.size()}};
  const auto n = result.size();
  if (result.logits.shape().axes() != 2 || result.logits.shape()[0] != n || samples.size() != n) {
    throw DataError(Message("load_predictions", "needs a row of logits for each label")
                        .fact("file", path)
                        .fact("logits", result.logits.shape())
                        .fact("labels", result.labels.shape()));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    if (result.label(i) >= 0 && result.label(i) < result.classes()) continue;
    throw DataError(Message("load_predictions", "a label is no class")
                        .fact("file", path)
                        .fact("expected", {"0 to ", result.classes() - 1})
                        .fact("came", result.label(i), {"row ", i}));
  }
  return result;
}

}  // namespace tinynet::inline TINYNET_ABI::train
