// What a training step (forward, backward, SGD with momentum) of the project's networks needs in
// memory, each in a process of its own, on random images; with and without checkpoints. In 10^6 bytes:
//   outputs     of all ops of a forward pass, by arithmetic: what a tape that kept all would hold
//   weights     values, gradients and momenta
//   high water  the most that tensors, scratch memory and packed weights took at a time
//   resident    the most that the process had of the machine's memory
// Run: ./memory [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <sys/wait.h>
#include <unistd.h>

#include <tinynet/core/cpu.hpp>
#include <tinynet/core/memory_report.hpp>
#include <tinynet/models.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim/sgd.hpp>

#include "../examples/networks.hpp"

using namespace tinynet;

namespace {

/// Adds up what the ops of a forward pass write, in place or not.
struct Outputs final : Observer {
  std::size_t bytes = 0;

  void see(const Observation& seen) override {
    if (seen.op.stored) bytes += seen.output.bytes;
  }
};

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) * 1e-6; }

template <Scalar T, class Model, class Options>
void measure(const char* name, const Options& options, const Shape& size) {
  Model model(options);
  nn::initialize(model, 1);
  optim::Sgd<float> optimizer(nn::parameters(model), {.lr = 0.01, .momentum = 0.9});
  const auto images = Tensor<T>::normal(size, {1});
  Tensor<std::int32_t> labels({size[0]});
  for (std::int64_t i = 0; i < size[0]; ++i) labels(i) = static_cast<std::int32_t>(i % 10);
  Outputs outputs;
  {
    auto ctx = Context::evaluation();
    ctx.mode = Mode::training;
    ctx.recompute = true;
    ctx.observer = &outputs;
    model(Variable<T>(images.rows(0, 2)), ctx);
    outputs.bytes = outputs.bytes / 2 * static_cast<std::size_t>(size[0]);
  }
  double fastest = std::numeric_limits<double>::infinity();
  for (int step = 0; step < 4; ++step) {
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    Tape tape;
    auto ctx = Context::training(tape, {1});
    ops::cross_entropy(model(Variable<T>(images), ctx), labels, {}, ctx).backward();
    optimizer.step();
    fastest = std::min(fastest, std::chrono::duration<double>(clock::now() - start).count());
  }
  const auto weights = static_cast<std::size_t>(3 * nn::parameter_bytes(model));
  std::printf("%-26s %-9s %6lld %10.1f %9.1f %12.1f %10.1f %9.1f\n", name, type_name<T>(),
              static_cast<long long>(size[0]), megabytes(outputs.bytes), megabytes(weights),
              megabytes(memory_statistics().peak_bytes_in_use), megabytes(resident_memory().peak),
              fastest * 1e3);
}

/// Runs `f` in a process of its own, whose peaks are not those of what ran before.
template <class F>
void alone(F f) {
  std::fflush(stdout);
  const auto child = ::fork();
  if (child < 0) {
    std::perror("fork");
    std::exit(1);
  }
  if (child == 0) {
    f();
    std::fflush(stdout);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) std::printf("(ended with status %d)\n", status);
}

template <Scalar T>
void resnet(const char* name, models::ResNetOptions options, const Shape& size) {
  alone([&] { measure<T, models::ResNet<T>>(name, options, size); });
  options.checkpoint = true;
  alone([&] { measure<T, models::ResNet<T>>("  checkpoints", options, size); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) set_num_threads(std::atoi(argv[1]));
  namespace networks = examples::networks;
  std::printf("%s\n%-26s %-9s %6s %10s %9s %12s %10s %9s\n", cpu_report().c_str(), "network",
              "precision", "batch", "outputs MB", "weights", "high water", "resident", "step ms");
  resnet<bfloat16>("V7", networks::v7(), {256, 28, 28, 1});
  resnet<float>("V7", networks::v7(), {256, 28, 28, 1});
  resnet<bfloat16>("ResNet-18", networks::resnet18(), {128, 28, 28, 1});
  alone([] {
    measure<bfloat16, models::DepthwiseNet<bfloat16>>("150,690 parameters", networks::depthwise(),
                                                      {128, 32, 32, 3});
  });
  alone([] { measure<float, models::Cnn<float>>("toy CNN", networks::toy(), {128, 28, 28, 1}); });
  alone([] {
    measure<bfloat16, models::Airbench<bfloat16>>("airbench94", models::AirbenchOptions{},
                                                  {1000, 32, 32, 3});
  });
}
