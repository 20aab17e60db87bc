#pragma once

#include <cmath>

#include <tinynet/kernels/reduce.hpp>
#include <tinynet/kernels/update.hpp>
#include <tinynet/optim/runs.hpp>
#include <tinynet/optim/step_settings.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// Scales all gradients by one factor so that their common L2 norm is at most `max_norm`, and
/// returns the norm that they had. Call it between `backward` and `step`; an infinite `max_norm`
/// only measures. As PyTorch's clip_grad_norm_, the factor is min(1, max_norm / (norm + 1e-6)), and
/// a norm that is not finite makes the gradients NaN or zero: look at it before the step.
template <class P>
double clip_grad_norm(const ParameterList<P>& parameters, double max_norm) {
  require_setting(max_norm >= 0, "clip_grad_norm", "max_norm", max_norm, "0 or more");
  const auto any = [](std::size_t) { return true; };
  double squares = 0;
  for_each_run(parameters, any, [&](const Run<P>& run) {
    squares += kernels::sum_squares<P>(run.gradients);
  });
  const double norm = std::sqrt(squares);
  const double factor = max_norm / (norm + 1e-6);
  if (factor >= 1 || std::isinf(max_norm)) return norm;
  for_each_run(parameters, any, [&](const Run<P>& run) {
    kernels::scale<P>(run.gradients, static_cast<P>(factor));
  });
  return norm;
}

}  // namespace tinynet::inline TINYNET_ABI::optim
