#pragma once

#include <tinynet/kernels/update.hpp>
#include <tinynet/optim/flat_optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

struct SgdOptions {
  std::optional<double> lr = {};  // none: every step must be given one
  double momentum = 0;
  double dampening = 0;     // of the gradient, where it enters the momentum
  double weight_decay = 0;  // added to the gradient: an L2 penalty
  bool nesterov = false;
  std::vector<Group> groups = {};
};

/// Stochastic gradient descent, with momentum as PyTorch defines it:
///
///     g = gradient + weight_decay * value
///     m = momentum * m + (1 - dampening) * g          (m = g at first)
///     value -= lr * (nesterov ? g + momentum * m : m)
///
///     optim::Sgd sgd(nn::parameters(model), {.lr = 0.1, .momentum = 0.9, .nesterov = true});
template <class P>
class Sgd : public FlatOptimizer<P> {
 public:
  explicit Sgd(const ParameterList<P>& parameters, const SgdOptions& options = {})
      : FlatOptimizer<P>(parameters, setup(options)), options_(options) {}

  const SgdOptions& options() const { return options_; }

 private:
  static typename FlatOptimizer<P>::Setup setup(const SgdOptions& o) {
    require_setting(o.momentum >= 0 && o.momentum < 1, "Sgd", "momentum", o.momentum,
                    "at least 0 and below 1");
    require_setting(o.dampening >= 0 && o.dampening <= 1, "Sgd", "dampening", o.dampening,
                    "0 to 1");
    if (o.nesterov && (o.momentum == 0 || o.dampening != 0)) {
      throw StateError(Message("Sgd", "nesterov needs momentum and no dampening")
                           .fact("momentum", o.momentum)
                           .fact("dampening", o.dampening));
    }
    return {.name = "Sgd",
            .lr = o.lr,
            .momentum = o.momentum,
            .weight_decay = o.weight_decay,
            .groups = o.groups,
            .no_momentum = o.momentum > 0 ? nullptr : "SgdOptions::momentum",
            .state = {o.momentum > 0 ? "momentum_buffer" : nullptr}};
  }

  void update(const typename FlatOptimizer<P>::Update& run) override {
    kernels::sgd_update<P>(run.values, run.gradients,
                           run.momentum > 0 ? run.state[0] : std::span<P>(),
                           {.lr = run.lr,
                            .momentum = run.momentum,
                            .dampening = options_.dampening,
                            .weight_decay = run.weight_decay,
                            .nesterov = options_.nesterov,
                            .first_step = run.count == 1});
  }

  SgdOptions options_;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
