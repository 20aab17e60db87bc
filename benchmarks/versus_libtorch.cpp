// Whole training steps (forward, backward, SGD update) of tinynet and of libtorch, in turn in one run,
// on random data and the same number of threads: milliseconds, images a second, the ratio.
// Run: ./versus_libtorch [threads]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include <tinynet/models.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

#include "libtorch_steps.hpp"

using namespace tinynet;

template <Scalar T>
std::function<void()> toy_cnn_step(std::int64_t batch) {
  const auto model = std::make_shared<models::Cnn<T>>();
  nn::initialize(*model, 1);
  const auto optimizer = std::make_shared<optim::Sgd<float>>(
      nn::parameters(*model), optim::SgdOptions{.lr = 0.01, .momentum = 0.9});
  const auto images = Tensor<T>::normal({batch, 28, 28, 1}, {1});
  auto labels = Tensor<std::int32_t>({batch});
  for (std::int64_t i = 0; i < batch; ++i) labels(i) = static_cast<std::int32_t>(i % 10);
  return [=] {
    Tape tape;
    auto ctx = Context::training(tape);
    ops::cross_entropy((*model)(images, ctx), labels, {}, ctx).backward();
    optimizer->step();
  };
}

struct Case {
  const char* name;
  std::int64_t batch;
  std::function<void()> ours, theirs;
};

/// Seconds of one call, as the mean over enough calls to take a tenth of a second.
double seconds_of(const std::function<void()>& step) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  int calls = 0;
  std::chrono::duration<double> elapsed{};
  do {
    step();
    ++calls;
    elapsed = clock::now() - start;
  } while (elapsed.count() < 0.1);
  return elapsed.count() / calls;
}

int main(int argc, char** argv) {
  if (argc > 1) set_num_threads(std::atoi(argv[1]));
  libtorch::set_num_threads(num_threads());
  std::printf("%s\n", cpu_report().c_str());
  std::printf("%-28s %6s %12s %12s %12s %12s %8s\n", "network", "batch", "ours ms", "libtorch ms",
              "ours img/s", "libt. img/s", "ratio");

  const std::vector<Case> cases = {
      {"toy CNN of S1, float", 128, toy_cnn_step<float>(128), libtorch::toy_cnn_step(128, false)},
      {"toy CNN of S1, bfloat16", 128, toy_cnn_step<bfloat16>(128),
       libtorch::toy_cnn_step(128, true)},
      {"toy CNN of S1, float", 4, toy_cnn_step<float>(4), libtorch::toy_cnn_step(4, false)},
  };
  double log_sum = 0;
  for (const auto& each : cases) {
    for (int i = 0; i < 3; ++i) {
      each.ours();
      each.theirs();
    }
    std::vector<double> ours, theirs, ratios;
    for (int pair = 0; pair < 9; ++pair) {
      ours.push_back(seconds_of(each.ours));
      theirs.push_back(seconds_of(each.theirs));
      ratios.push_back(theirs.back() / ours.back());
    }
    const auto median = [](std::vector<double> values) {
      std::nth_element(values.begin(), values.begin() + 4, values.end());
      return values[4];
    };
    const double mine = median(ours), other = median(theirs), ratio = median(ratios);
    const auto batch = static_cast<double>(each.batch);
    std::printf("%-28s %6lld %12.2f %12.2f %12.0f %12.0f %8.2f\n", each.name,
                static_cast<long long>(each.batch), mine * 1e3, other * 1e3, batch / mine,
                batch / other, ratio);
    log_sum += std::log(ratio);
  }
  std::printf("geomean ratio %.2f\n", std::exp(log_sum / static_cast<double>(cases.size())));
}
