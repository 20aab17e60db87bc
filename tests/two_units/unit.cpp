// One of the units that a program is linked from. Each includes every header of the library and
// instantiates the same templates; UNIT names its namespace.
#include <string>

#include "everything.hpp"

namespace UNIT {

using namespace tinynet;

std::string abi() { return tinynet::abi; }

/// The loss of a small network after three steps.
double work() {
  models::Cnn<float> model({.image = 8, .widths = {4, 8}, .batch_norm = true, .hidden = 16});
  nn::initialize(model, 1);
  optim::Sgd sgd(nn::parameters(model), {.lr = 0.1, .momentum = 0.9});

  const auto images = Tensor<float>::uniform({4, 8, 8, 1}, {2});
  const auto labels = Tensor<std::int32_t>::from({4}, {0, 1, 2, 3});

  double loss = 0;
  for (int step = 0; step < 3; ++step) {
    Tape tape;
    auto ctx = Context::training(tape);
    auto y = ops::cross_entropy(model(images, ctx), labels, {}, ctx);
    loss = y.value().item();
    y.backward();
    sgd.step();
  }
  return loss;
}

}  // namespace UNIT
