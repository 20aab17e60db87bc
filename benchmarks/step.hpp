#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// What two libraries are compared in. Includes neither, since each stands in a unit of its own.
namespace tinynet::benchmarks {

/// examples/networks.hpp and models/airbench.hpp say what they are.
enum class Network { toy, resnet18, v7, depthwise, airbench94 };

/// A training step (forward, cross-entropy, backward, SGD with momentum) on random images that stay
/// where they are, or else a forward pass without gradients.
struct Task {
  Network network = {};
  std::int64_t batch = 0;
  bool training = true;
};

/// A task on one side, ready to run.
struct Step {
  std::int64_t parameters = 0;     // values in all parameters, frozen ones included
  double operations = 0;           // of a run, two each multiply-accumulate; 0 where unknown
  std::function<void()> run = {};  // once
  std::function<std::string()> profile = {};  // a table of where the time goes; or empty
};

/// A way of running a task, of which the fastest is compared.
struct Variant {
  std::string name;  // begins with its precision: "bf16, channels last"
  std::function<Step()> make;

  bool bfloat16() const { return name.rfind("bf16", 0) == 0; }
};

}  // namespace tinynet::benchmarks
