#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/core/require_setting.hpp>
#include <tinynet/kernels/update.hpp>
#include <tinynet/nn/save.hpp>
#include <tinynet/train/weights.hpp>

namespace tinynet::inline TINYNET_ABI::train {

/// The mean of a model's weights at several times (Izmailov et al. 2018, SWA), or of several models
/// that were trained from the same one. Buffers are averaged too.
///
///     train::WeightAverage mean(model);
///     ...mean.add(model);          // at the end of each of the last epochs
///     mean.copy_to(model);
template <class = void>
class WeightAverageOnDemand {
 public:
  /// Nothing is added yet: `model` says what there will be.
  explicit WeightAverageOnDemand(const nn::Members& model) : weights_(model) {}

  /// Adds values that count `weight` times as much as others. Throws StateError if the model is
  /// another.
  void add(const nn::Members& model, double weight = 1) {
    require_setting(weight > 0, "WeightAverage", "weight", weight, "above 0");
    auto& total = *total_.data();
    const double old = total / (total + weight);
    weights_.combine_with(model, [old]<class P>(std::span<P> mean, std::span<const P> values) {
      kernels::ema_update<P>(mean, values, old);
    });
    total += weight;
  }

  /// Gives a model the mean. Throws StateError before the first `add`.
  void copy_to(const nn::Members& model) {
    if (total_.item() == 0) {
      throw StateError(
          Message("WeightAverage", "there is nothing to average").hint("call add(model) first"));
    }
    weights_.copy_to(model);
  }

  /// Calls `f(name, tensor)` for "total" and each mean: views, as Optimizer::visit_state gives them.
  template <class F>
  void visit_state(const F& f) const {
    f(std::string("total"), total_);
    weights_.visit_state(f);
  }

 private:
  Weights weights_;
  Tensor<double> total_ = Tensor<double>::zeros({});  // of the weights of all that was added
};
using WeightAverage = WeightAverageOnDemand<>;

/// Gives a model the mean of the weights in several files. `prefix` is "model." for checkpoints,
/// "ema." for the averages in them.
///
///     train::average_files({"a/model.safetensors", "b/model.safetensors"}, model);
template <class = void>
void average_files(const std::vector<std::string>& files, const nn::Members& model,
                   const std::string& prefix = "") {
  if (files.empty()) throw StateError(Message("average_files", "there is no file"));
  nn::read_state(io::Safetensors::open(files[0]), model, prefix);
  WeightAverage mean(model);
  mean.add(model);
  for (std::size_t i = 1; i < files.size(); ++i) {
    nn::read_state(io::Safetensors::open(files[i]), model, prefix);
    mean.add(model);
  }
  mean.copy_to(model);
}

}  // namespace tinynet::inline TINYNET_ABI::train
