#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <tinynet/optim/schedule.hpp>

/// Schedules that only fall.
namespace tinynet::inline TINYNET_ABI::optim {

struct StepDecayOptions {
  Required<double> lr;
  Required<std::int64_t> step_size;  // steps
  double gamma = 0.1;
};

/// Multiplied by gamma after every step_size steps: PyTorch's StepLR.
template <class = void>
Schedule step_decay(const StepDecayOptions& o) {
  detail::require_lr("step_decay", "lr", o.lr);
  detail::require_steps("step_decay", "step_size", o.step_size);
  detail::require_lr("step_decay", "gamma", o.gamma);
  return [o](std::int64_t step) {
    return o.lr * std::pow(o.gamma, static_cast<double>(step / o.step_size));
  };
}

struct MultiStepDecayOptions {
  Required<double> lr;
  Required<std::vector<std::int64_t>> milestones;  // steps, in any order
  double gamma = 0.1;
};

/// Multiplied by gamma from each milestone on: PyTorch's MultiStepLR.
template <class = void>
Schedule multi_step_decay(const MultiStepDecayOptions& o) {
  detail::require_lr("multi_step_decay", "lr", o.lr);
  detail::require_lr("multi_step_decay", "gamma", o.gamma);
  return [o](std::int64_t step) {
    const std::vector<std::int64_t>& milestones = o.milestones;
    const auto passed = std::count_if(milestones.begin(), milestones.end(),
                                      [step](std::int64_t at) { return at <= step; });
    return o.lr * std::pow(o.gamma, static_cast<double>(passed));
  };
}

struct ExponentialDecayOptions {
  Required<double> lr;
  Required<double> gamma;  // of a single step: 0.9999 halves lr in 6931
};

/// Multiplied by gamma after every step: PyTorch's ExponentialLR.
template <class = void>
Schedule exponential_decay(const ExponentialDecayOptions& o) {
  detail::require_lr("exponential_decay", "lr", o.lr);
  detail::require_lr("exponential_decay", "gamma", o.gamma);
  return [o](std::int64_t step) { return o.lr * std::pow(o.gamma, static_cast<double>(step)); };
}

struct PolynomialDecayOptions {
  Required<double> lr;
  Required<std::int64_t> steps;  // at this step 0 is reached, and kept
  double power = 1;
};

/// lr * (1 - step / steps)^power: PyTorch's PolynomialLR.
template <class = void>
Schedule polynomial_decay(const PolynomialDecayOptions& o) {
  detail::require_lr("polynomial_decay", "lr", o.lr);
  detail::require_steps("polynomial_decay", "steps", o.steps);
  detail::require_lr("polynomial_decay", "power", o.power);
  return [o](std::int64_t step) {
    const double left = 1 - detail::fraction(std::min<std::int64_t>(step, o.steps), o.steps);
    return o.lr * std::pow(left, o.power);
  };
}

}  // namespace tinynet::inline TINYNET_ABI::optim
