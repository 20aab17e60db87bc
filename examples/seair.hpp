#pragma once

#include <algorithm>

#include "airbench.hpp"
#include "fashion_mnist.hpp"

namespace tinynet::examples {

inline AirbenchRates seair_rates() {
  return {.muon_lr = 0.1, .weight_decay = 0.75, .shift_weight_decay = 0.01172, .gates = true};
}

/// A triangle of learning rates; --lr, --weight-decay and --schedule are those of the other networks. SEAir
/// sees each image too seldom to learn much from hidden ones, so that erasing is rarer and smaller.
inline Recipe seair_recipe(const Program& program, FashionMnist options) {
  options.erasing = {.probability = 0.25f, .scale = {0.02f, 0.2f}};
  auto recipe = options.recipe(program);
  recipe.schedule = [lr = seair_rates().muon_lr](std::int64_t steps) {
    return optim::piecewise_linear(
        {{0, 0.2 * lr}, {std::max<std::int64_t>(steps / 10, 1), lr}, {steps + 1, 0}});
  };
  return recipe;
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
