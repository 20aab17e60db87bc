#pragma once

#include <tinynet/kernels/rmsprop.hpp>
#include <tinynet/optim/flat_optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// PyTorch's names and defaults.
struct RmsPropOptions {
  double lr = 0.01;
  double alpha = 0.99;  // of the running mean of the gradient's square
  double eps = 1e-8;
  double momentum = 0;
  bool centered = false;    // divides by the deviation of the gradient, not by its size
  double weight_decay = 0;  // added to the gradient: an L2 penalty
  std::vector<Group> groups = {};
};

/// RMSprop (Tieleman and Hinton 2012; centered as in Graves 2013) as PyTorch defines it:
///
///     g = gradient + weight_decay * value
///     s = alpha * s + (1 - alpha) * g^2
///     a = alpha * a + (1 - alpha) * g                                    (centered)
///     m = momentum * m + g / (sqrt(centered ? s - a^2 : s) + eps)
///     value -= lr * m
///
///     optim::RmsProp rmsprop(nn::parameters(model), {.lr = 1e-3, .momentum = 0.9});
template <class P>
class RmsProp : public FlatOptimizer<P> {
 public:
  explicit RmsProp(const ParameterList<P>& parameters, const RmsPropOptions& options = {})
      : FlatOptimizer<P>(parameters, setup(options)), options_(options) {}

  const RmsPropOptions& options() const { return options_; }

 private:
  static typename FlatOptimizer<P>::Setup setup(const RmsPropOptions& o) {
    require_setting(o.alpha >= 0 && o.alpha < 1, "RmsProp", "alpha", o.alpha,
                    "at least 0 and below 1");
    require_setting(o.eps >= 0, "RmsProp", "eps", o.eps, "0 or more");
    require_setting(o.momentum >= 0 && o.momentum < 1, "RmsProp", "momentum", o.momentum,
                    "at least 0 and below 1");
    std::array<const char*, 3> state{"square_avg"};
    std::size_t kept = 1;
    if (o.momentum > 0) state[kept++] = "momentum_buffer";
    if (o.centered) state[kept++] = "grad_avg";
    return {.name = "RmsProp",
            .lr = o.lr,
            .momentum = o.momentum,
            .weight_decay = o.weight_decay,
            .groups = o.groups,
            .no_momentum = o.momentum > 0 ? nullptr : "RmsPropOptions::momentum",
            .state = state};
  }

  void update(const typename FlatOptimizer<P>::Update& run) override {
    const auto velocity = options_.momentum > 0 ? run.state[1] : std::span<P>();
    const auto mean = options_.centered ? run.state.back() : std::span<P>();
    kernels::rmsprop_update<P>(run.values, run.gradients, run.state[0], velocity, mean,
                               {.lr = run.lr,
                                .alpha = options_.alpha,
                                .eps = options_.eps,
                                .momentum = run.momentum,
                                .weight_decay = run.weight_decay});
  }

  RmsPropOptions options_;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
