#pragma once

#include <tinynet/kernels/lion.hpp>
#include <tinynet/optim/flat_optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// The paper's defaults. Every element moves by lr in each step, so lr is three to ten times
/// smaller than AdamW's, and weight_decay as much larger.
struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9;   // of the mean that is stepped along; a schedule's momentum replaces it
  double beta2 = 0.99;  // of the mean that is kept
  double weight_decay = 0;
  std::vector<Group> groups = {};
};

/// Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms), half the state of AdamW:
///
///     value -= lr * (sign(beta1 * m + (1 - beta1) * gradient) + weight_decay * value)
///     m = beta2 * m + (1 - beta2) * gradient
///
///     optim::Lion lion(nn::parameters(model), {.lr = 1e-4, .weight_decay = 0.5});
template <class P>
class Lion : public FlatOptimizer<P> {
 public:
  explicit Lion(const ParameterList<P>& parameters, const LionOptions& options = {})
      : FlatOptimizer<P>(parameters, setup(options)), options_(options) {}

  const LionOptions& options() const { return options_; }

 private:
  static typename FlatOptimizer<P>::Setup setup(const LionOptions& o) {
    require_setting(o.beta1 >= 0 && o.beta1 < 1, "Lion", "beta1", o.beta1,
                    "at least 0 and below 1");
    require_setting(o.beta2 >= 0 && o.beta2 < 1, "Lion", "beta2", o.beta2,
                    "at least 0 and below 1");
    return {.name = "Lion",
            .lr = o.lr,
            .momentum = o.beta1,
            .weight_decay = o.weight_decay,
            .groups = o.groups,
            .state = {"exp_avg"}};
  }

  void update(const typename FlatOptimizer<P>::Update& run) override {
    kernels::lion_update<P>(run.values, run.gradients, run.state[0],
                            {.lr = run.lr,
                             .beta1 = run.momentum,
                             .beta2 = options_.beta2,
                             .weight_decay = run.weight_decay});
  }

  LionOptions options_;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
