#pragma once

#include <tinynet/kernels/update.hpp>
#include <tinynet/optim/flat_optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// PyTorch's defaults.
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;    // of the running mean of the gradient; a schedule's momentum replaces it
  double beta2 = 0.999;  // of the running mean of its square
  double eps = 1e-8;
  double weight_decay = 0;  // added to the gradient: an L2 penalty. AdamW's is decoupled from it
  std::vector<Group> groups = {};
};

/// Adam (Kingma and Ba 2015) as PyTorch defines it. At the t-th update:
///
///     g = gradient + weight_decay * value
///     m = beta1 * m + (1 - beta1) * g
///     v = beta2 * v + (1 - beta2) * g^2
///     value -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
///
///     optim::Adam adam(nn::parameters(model), {.lr = 3e-4});
template <class P>
class Adam : public FlatOptimizer<P> {
 public:
  explicit Adam(const ParameterList<P>& parameters, const AdamOptions& options = {})
      : FlatOptimizer<P>(parameters, setup(options)), options_(options) {}

  const AdamOptions& options() const { return options_; }

 private:
  static typename FlatOptimizer<P>::Setup setup(const AdamOptions& o) {
    require_setting(o.beta1 >= 0 && o.beta1 < 1, "Adam", "beta1", o.beta1,
                    "at least 0 and below 1");
    require_setting(o.beta2 >= 0 && o.beta2 < 1, "Adam", "beta2", o.beta2,
                    "at least 0 and below 1");
    require_setting(o.eps >= 0, "Adam", "eps", o.eps, "0 or more");
    return {.name = "Adam",
            .lr = o.lr,
            .momentum = o.beta1,
            .weight_decay = o.weight_decay,
            .groups = o.groups,
            .state = {"exp_avg", "exp_avg_sq"}};
  }

  void update(const typename FlatOptimizer<P>::Update& run) override {
    kernels::adam_update<P>(run.values, run.gradients, run.state[0], run.state[1],
                            {.lr = run.lr,
                             .beta1 = run.momentum,
                             .beta2 = options_.beta2,
                             .eps = options_.eps,
                             .weight_decay = run.weight_decay,
                             .step = run.count});
  }

  AdamOptions options_;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
