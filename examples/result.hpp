#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "program.hpp"

/// The files that a training run leaves in its --out folder.
namespace tinynet::examples {

/// Seconds on a clock that does not jump.
inline double seconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// Time of a forward pass of one image, in milliseconds: the median and the 95th percentile.
struct Latency {
  double p50 = 0, p95 = 0;
};

template <Scalar T, class Model>
Latency measure_latency(Model& model, const Shape& image) {
  const Variable<T> x(Tensor<T>::zeros(image));
  std::vector<double> times;
  for (int i = 0; i < 110; ++i) {
    auto ctx = Context::evaluation();
    const double start = seconds_now();
    model(x, ctx);
    if (i >= 10) times.push_back((seconds_now() - start) * 1e3);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 95 / 100]};
}

/// What a run came to.
struct Outcome {
  train::Evaluation test;
  const train::History& history;
  double seconds = 0;              // of training, evaluation excluded
  const char* selection = "last";  // which epoch's model was tested
};

/// What result.json says of the model beside its accuracy.
struct ModelFacts {
  std::int64_t parameters = 0, bytes = 0;
  Latency latency;
};

/// Writes result.json (docs/architecture.md explains its keys).
void write_result(const Program& program, const ModelFacts& model, const Outcome& outcome);

template <Scalar T, class Model>
void write_result(const Program& program, Model& model, const Shape& image,
                  const Outcome& outcome) {
  const ModelFacts facts{nn::count_parameters(model), nn::parameter_bytes(model),
                         measure_latency<T>(model, image)};
  write_result(program, facts, outcome);
}

/// Writes history.csv: one line an epoch.
void write_history(const Program& program, const train::History& history);

}  // namespace tinynet::examples
