#pragma once

#include "muon_recipe.hpp"

namespace tinynet::examples {

inline AirbenchRates seair_rates() {
  return {.muon_lr = 0.1, .weight_decay = 0.75, .shift_weight_decay = 0.01172, .gates = true};
}

/// --lr, --weight-decay and --schedule are those of the other networks.
inline Recipe seair_recipe(const Program& program, const FashionMnist& options) {
  return muon_recipe(program, options, seair_rates().muon_lr);
}

/// Trains airbench with gates on FashionMNIST: whitened images, Muon.
template <Scalar T>
Trained train_seair(const Program& program, const Recipe& recipe,
                    const models::AirbenchOptions& network) {
  models::Airbench<T> model(network);
  nn::initialize(model, program.seed);
  set_whitening(model, recipe.train_set, recipe.loading.normalize);
  auto optimizer = airbench_optimizer(model, program.batch_size, seair_rates());
  return train_and_test<float>(program, model, optimizer, recipe);  // images in float
}

}  // namespace tinynet::examples
