#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "training.hpp"

/// What the programs that train airbench networks have in common.
namespace tinynet::examples {

/// Whitens patches as they are in the first 5,000 training images.
template <Scalar T>
void set_whitening(models::Airbench<T>& model, const data::Dataset& train_set,
                   const data::Normalization& normalize) {
  const auto some = std::min<std::int64_t>(train_set.size(), 5000);
  const data::Loader<float> images(train_set.take(some),
                                   {.batch_size = some, .shuffle = false, .normalize = normalize});
  for (const auto& batch : images.epoch()) model.set_whitening(batch.images);
}

/// Settings of Muon and of SGD beside it, for the sum of the loss over a batch, as the recipe of
/// batches of 1000 has them (the research-airbench repository).
struct AirbenchRates {
  double muon_lr = 0.15;
  double sgd_lr = 1.27378e-3;
  double weight_decay = 1.5, shift_weight_decay = 0.02344;
  bool gates = false;  // there are squeeze-and-excite gates: their weights learn at 0.02
};

/// Muon as that recipe has it: windows of length 1, three steps of Newton and Schulz.
inline optim::MuonOptions airbench_muon(double lr) {
  return {.lr = lr,
          .momentum = 0.6,
          .ns_steps = 3,
          .adjust_lr = optim::AdjustLr::none,
          .normalize_weights = true};
}

/// Muon for the convolutions of the groups, SGD for the rest. Its loss is a mean over the batch:
/// learning rates are as many times larger as it has images, weight decay as many times smaller.
inline auto airbench_optimizer(const nn::Members& model, std::int64_t batch_size,
                               const AirbenchRates& rates = {}) {
  const auto images = static_cast<double>(batch_size);
  const auto parts = optim::split(nn::parameters(model), optim::by_name("layers.*.conv*.weight"));
  const double sgd_lr = rates.sgd_lr * images;
  std::vector<optim::Group> groups{{.where = optim::by_kind({ParameterKind::norm_shift}),
                                    .lr_scale = 64,
                                    .weight_decay = rates.shift_weight_decay / images}};
  if (rates.gates) {
    groups.push_back({.where = optim::by_name("layers.*.se.*"),
                      .lr_scale = 0.02 / sgd_lr,
                      .weight_decay = 5e-4});
  }
  return optim::MultiOptimizer(optim::Muon(parts.matching, airbench_muon(rates.muon_lr)),
                               optim::Sgd(parts.rest, {.lr = sgd_lr,
                                                       .momentum = 0.85,
                                                       .weight_decay = rates.weight_decay / images,
                                                       .nesterov = true,
                                                       .groups = std::move(groups)}));
}

}  // namespace tinynet::examples
