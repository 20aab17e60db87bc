#pragma once

#include <tinynet/optim/schedule.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

struct CosineRestartsOptions {
  Required<double> lr;
  Required<std::int64_t> steps;   // of the first period: PyTorch's T_0
  std::int64_t steps_factor = 1;  // each period is so many times as long as the one before: T_mult
  double final_lr = 0;
};

/// Half a cosine from lr down to final_lr, then lr again (SGDR, Loshchilov and Hutter 2017):
/// PyTorch's CosineAnnealingWarmRestarts. final_lr itself is never reached: the step of a restart
/// has lr.
template <class = void>
Schedule cosine_restarts(const CosineRestartsOptions& o) {
  detail::require_lr("cosine_restarts", "lr", o.lr);
  detail::require_steps("cosine_restarts", "steps", o.steps);
  detail::require_steps("cosine_restarts", "steps_factor", o.steps_factor);
  detail::require_lr("cosine_restarts", "final_lr", o.final_lr);
  return [o](std::int64_t step) {
    std::int64_t period = o.steps;
    if (o.steps_factor == 1) step %= period;
    for (; step >= period; period *= o.steps_factor) step -= period;
    return detail::cosine_between(o.lr, o.final_lr, detail::fraction(step, period));
  };
}

}  // namespace tinynet::inline TINYNET_ABI::optim
