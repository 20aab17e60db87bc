#include "libtorch_steps.hpp"

#include <memory>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

namespace libtorch {

void set_num_threads(int threads) { at::set_num_threads(threads); }

std::function<void()> toy_cnn_step(std::int64_t batch, bool bf16) {
  using namespace torch::nn;
  const auto conv = [](int in, int out) { return Conv2d(Conv2dOptions(in, out, 3).padding(1)); };
  Sequential model(conv(1, 32), ReLU(), MaxPool2d(2), conv(32, 64), ReLU(), MaxPool2d(2),
                   conv(64, 128), ReLU(), MaxPool2d(2), Flatten(), Linear(1152, 512), ReLU(),
                   Linear(512, 10));
  auto images = torch::randn({batch, 1, 28, 28});
  if (bf16) {
    images = images.contiguous(at::MemoryFormat::ChannelsLast);
    for (auto& parameter : model->parameters()) {
      if (parameter.dim() == 4) {
        parameter.set_data(parameter.data().contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
  }
  const auto labels = torch::randint(10, {batch}, torch::kLong);
  auto optimizer = std::make_shared<torch::optim::SGD>(
      model->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
  return [=]() mutable {
    optimizer->zero_grad();
    at::autocast::set_cpu_enabled(bf16);
    const auto logits = model->forward(images);
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
    torch::nn::functional::cross_entropy(logits.to(torch::kFloat), labels).backward();
    optimizer->step();
  };
}

}  // namespace libtorch
