#pragma once

#include <algorithm>
#include <utility>

#include "airbench.hpp"
#include "fashion_mnist.hpp"

/// Muon on FashionMNIST, chosen by held-out training images.
namespace tinynet::examples {

/// A triangle of learning rates instead of --schedule, and erasing that is rarer and smaller: in few epochs each
/// image is seen too seldom to learn much from hidden ones.
inline Recipe muon_recipe(const Program& program, FashionMnist options, double lr) {
  options.erasing = {.probability = 0.25f, .scale = {0.02f, 0.2f}};
  auto recipe = options.recipe(program);
  recipe.schedule = [lr](std::int64_t steps) {
    return optim::piecewise_linear(
        {{0, 0.2 * lr}, {std::max<std::int64_t>(steps / 10, 1), lr}, {steps + 1, 0}});
  };
  return recipe;
}

inline constexpr double muon_lr = 0.08;

/// Muon for the windows of convolutions, SGD for the rest, as it would train all of them.
inline auto muon_optimizer(const nn::Members& model, const FashionMnist& options) {
  auto rest = options.sgd();
  rest.lr = options.lr;
  const auto windows = optim::Filter{
      "convolutions", [](const optim::ParameterInfo& p) { return p.shape.axes() == 4; }};
  const auto parts = optim::split(nn::parameters(model), windows);
  return optim::MultiOptimizer(optim::Muon(parts.matching, airbench_muon(muon_lr)),
                               optim::Sgd(parts.rest, std::move(rest)));
}

/// By SGD or, with --muon, by Muon.
inline Recipe network_recipe(const Program& program, const FashionMnist& options) {
  return options.muon ? muon_recipe(program, options, muon_lr) : options.recipe(program);
}

template <Scalar T, class Model>
Trained train_network(const Program& program, const FashionMnist& options, Model& model,
                      const Recipe& recipe) {
  if (options.muon) {
    auto optimizer = muon_optimizer(model, options);
    return train_and_test<T>(program, model, optimizer, recipe);
  }
  auto optimizer = options.optimizer(model);
  return train_and_test<T>(program, model, optimizer, recipe);
}

}  // namespace tinynet::examples
