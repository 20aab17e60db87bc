#include "libtorch_steps.hpp"

#include <dlfcn.h>

#include <climits>
#include <cstdlib>
#include <functional>
#include <memory>

#include <ATen/autocast_mode.h>

#include "libtorch_networks.hpp"

namespace libtorch {

namespace {

using tinynet::benchmarks::Network;
using tinynet::benchmarks::Step;
using tinynet::benchmarks::Task;

struct Setting {
  bool channels_last = false, autocast = false, bfloat16_weights = false;
};

class Autocast {
 public:
  explicit Autocast(bool on) { at::autocast::set_cpu_enabled(on); }
  ~Autocast() {
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

Tensor random_images(const Task& task) {
  const bool color = task.network == Network::depthwise || task.network == Network::airbench94;
  if (color) return torch::randn({task.batch, 3, 32, 32});
  return torch::randn({task.batch, 1, 28, 28});
}

void use_channels_last(Tensor& images, Net& net) {
  images = images.contiguous(at::MemoryFormat::ChannelsLast);
  for (auto& parameter : net.parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.data().contiguous(at::MemoryFormat::ChannelsLast));
  }
}

std::int64_t count_parameters(const Net& net) {
  std::int64_t total = 0;
  for (const auto& parameter : net.parameters()) total += parameter.numel();
  return total;
}

std::function<void()> training(const std::shared_ptr<Net>& net, const Tensor& images,
                               bool autocast) {
  const auto labels = torch::arange(images.size(0), torch::kLong).remainder(10);
  const auto optimizer = std::make_shared<torch::optim::SGD>(
      net->parameters(), torch::optim::SGDOptions(0.001).momentum(0.9));
  return [=] {
    Tensor logits;
    {
      const Autocast section(autocast);
      logits = net->forward(images);
    }
    nn::functional::cross_entropy(logits.to(torch::kFloat), labels).backward();
    optimizer->step();
    net->zero_grad(/*set_to_none=*/true);  // the optimizer's own would fill them with zeros
  };
}

std::function<void()> inference(const std::shared_ptr<Net>& net, const Tensor& images,
                                bool autocast) {
  net->eval();
  return [=] {
    const c10::InferenceMode guard;
    const Autocast section(autocast);
    net->forward(images);
  };
}

Step step(const Task& task, const Setting& setting) {
  const auto net = make(task.network);
  auto images = random_images(task);
  if (setting.channels_last) use_channels_last(images, *net);
  if (setting.bfloat16_weights) {
    net->to(torch::kBFloat16);
    images = images.to(torch::kBFloat16);
  }
  return {.parameters = count_parameters(*net),
          .run = task.training ? training(net, images, setting.autocast)
                               : inference(net, images, setting.autocast)};
}

}  // namespace

void set_num_threads(int threads) { at::set_num_threads(threads); }

std::string blas() {
  Dl_info info{};
  const void* product = dlsym(RTLD_DEFAULT, "sgemm_");
  if (!product || !dladdr(product, &info) || !info.dli_fname) return "unknown";
  char path[PATH_MAX];
  return realpath(info.dli_fname, path) ? path : info.dli_fname;
}

std::vector<tinynet::benchmarks::Variant> variants(const Task& task) {
  std::vector<tinynet::benchmarks::Variant> all;
  const auto add = [&](const char* name, const Setting& setting) {
    all.push_back({name, [=] { return step(task, setting); }});
  };
  add("fp32", {});
  add("fp32 channels-last", {.channels_last = true});
  add("bf16 autocast", {.autocast = true});
  add("bf16 autocast channels-last", {.channels_last = true, .autocast = true});
  if (!task.training) {
    add("bf16 weights", {.bfloat16_weights = true});
    add("bf16 weights channels-last", {.channels_last = true, .bfloat16_weights = true});
  }
  return all;
}

}  // namespace libtorch
