// A unit that includes everything and trains LeNet: what a user's first program costs to compile.
// Measured by scripts/compile_time.sh.
#include <tinynet/tinynet.hpp>

using namespace tinynet;

int main(int, char** argv) {
  const auto images = data::fashion_mnist(argv[1], data::Split::train);
  const data::Loader<float> batches(images, {.normalize = data::channel_statistics(images)});
  nn::Sequential<float> model(
      nn::Conv2d<float>({.in = 1, .out = 6, .kernel = 5, .padding = 2}), nn::Relu<float>(),
      nn::MaxPool2d<float>(), nn::Conv2d<float>({.in = 6, .out = 16, .kernel = 5}),
      nn::Relu<float>(), nn::MaxPool2d<float>(), nn::Flatten<float>(),
      nn::Linear<float>({.in = 400, .out = 120}), nn::Relu<float>(),
      nn::Linear<float>({.in = 120, .out = 84}), nn::Relu<float>(),
      nn::Linear<float>({.in = 84, .out = 10}));
  nn::initialize(model, 1);
  optim::Sgd<float> optimizer(nn::parameters(model), {.lr = 0.05, .momentum = 0.9});
  train::fit(model, optimizer, batches, {.epochs = 1});
}
