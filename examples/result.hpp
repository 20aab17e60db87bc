#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "program.hpp"

/// The files that a training run leaves in its --out folder.
namespace tinynet::examples {

extern const char* const git_revision;  // of the source tree; cmake/revision.cmake writes it

/// Seconds on a clock that does not jump.
inline double seconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
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
  double seconds = 0;                // of training, evaluation excluded
  const char* selection = "last";    // which epoch's model was tested
};

/// Writes result.json; docs/results_format.md explains its keys.
template <Scalar T, class Model>
void write_result(const Program& program, Model& model, const Shape& image, const Outcome& outcome) {
  const auto latency = measure_latency<T>(model, image);
  double images = 0, steps_seconds = 0;
  for (const auto& epoch : outcome.history) {
    images += static_cast<double>(epoch.samples);
    steps_seconds += epoch.seconds;
  }
  const nlohmann::ordered_json result = {
      {"command", program.command},
      {"git_revision", git_revision},
      {"cpu", cpu().name},
      {"kernels", kernels::path_name(kernels::path_limit())},
      {"precision", program.precision},
      {"threads", num_threads()},
      {"batch_size", program.batch_size},
      {"seed", program.seed},
      {"parameters", nn::count_parameters(model)},
      {"parameter_bytes", nn::parameter_bytes(model)},
      {"epochs", program.epochs},
      {"selection", outcome.selection},
      {"test_accuracy", outcome.test.accuracy},
      {"test_accuracy_low", outcome.test.low},
      {"test_accuracy_high", outcome.test.high},
      {"test_loss", outcome.test.loss},
      {"train_seconds", outcome.seconds},
      {"images_per_second", steps_seconds > 0 ? images / steps_seconds : 0},
      {"latency_ms", {{"p50", latency.p50}, {"p95", latency.p95}}},
      {"peak_memory_bytes", memory_statistics().peak_bytes_in_use},
  };
  write_file(program.out / "result.json", result.dump(2) + "\n");
}

/// Writes history.csv: one line an epoch.
inline void write_history(const Program& program, const train::History& history) {
  std::string text = "epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds\n";
  for (const auto& e : history) {
    char line[160];
    const auto validation = e.validation.value_or(train::Evaluation{});
    std::snprintf(line, sizeof line, "%lld,%.6f,%.6f,%.6f,%.6f,%.8g,%.3f\n",
                  static_cast<long long>(e.epoch + 1), e.loss, e.accuracy, validation.loss,
                  validation.accuracy, e.lr.value_or(0), e.seconds);
    text += line;
  }
  write_file(program.out / "history.csv", text);
}

}  // namespace tinynet::examples
