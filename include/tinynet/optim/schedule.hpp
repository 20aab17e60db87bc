#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinynet/core/function.hpp>
#include <tinynet/core/required.hpp>
#include <tinynet/optim/step_settings.hpp>

/// Schedules: pure functions of the step, counted from 0, whose values are PyTorch's. The functions
/// below throw StateError for options out of range.
namespace tinynet::inline TINYNET_ABI::optim {

/// Any schedule: what `step` is to be trained with. Made by the functions below, or from a function
/// of the step that returns a learning rate or StepSettings.
class Schedule {
 public:
  template <std::invocable<std::int64_t> F>
  requires(!std::same_as<F, Schedule>) Schedule(F f)
      : f_([f = std::move(f)](std::int64_t step) {
          if constexpr (std::is_arithmetic_v<decltype(f(step))>) {
            return StepSettings{.lr = static_cast<double>(f(step))};
          } else {
            return StepSettings(f(step));
          }
        }) {}

  [[gnu::noinline]] StepSettings operator()(std::int64_t step) const {
    if (step < 0) throw StateError(Message("Schedule", "the step is negative").fact("came", step));
    return f_(step);
  }

 private:
  Function<StepSettings(std::int64_t)> f_;
};

namespace detail {
template <class = void>
void require_lr(const char* who, const Text& setting, double lr) {
  require_setting(lr >= 0 && std::isfinite(lr), who, setting, lr, "a finite number, 0 or more");
}
template <class = void>
void require_steps(const char* who, const Text& setting, std::int64_t steps) {
  require_setting(steps > 0, who, setting, static_cast<double>(steps), "1 or more");
}
inline double cosine_between(double start, double end, double fraction) {
  return end + (start - end) * (1 + std::cos(std::numbers::pi * fraction)) / 2;
}
inline double line_between(double start, double end, double fraction) {
  return start + (end - start) * fraction;
}
inline double fraction(std::int64_t step, std::int64_t steps) {
  return static_cast<double>(step) / static_cast<double>(steps);
}
}  // namespace detail

/// The same at every step.
template <class = void>
Schedule constant(double lr) {
  detail::require_lr("constant", "lr", lr);
  return [lr](std::int64_t) { return lr; };
}

struct LinearOptions {
  Required<double> lr;
  Required<std::int64_t> steps;  // at this step the end is reached, and kept
  double start_factor = 1;       // times lr
  double end_factor = 0;
};

/// A straight line from lr * start_factor to lr * end_factor: PyTorch's LinearLR.
template <class = void>
Schedule linear(const LinearOptions& o) {
  detail::require_lr("linear", "lr", o.lr);
  detail::require_steps("linear", "steps", o.steps);
  detail::require_lr("linear", "start_factor", o.start_factor);
  detail::require_lr("linear", "end_factor", o.end_factor);
  return [o](std::int64_t step) {
    const double at = detail::fraction(std::min<std::int64_t>(step, o.steps), o.steps);
    return o.lr * detail::line_between(o.start_factor, o.end_factor, at);
  };
}

struct CosineOptions {
  Required<double> lr;
  Required<std::int64_t> steps;  // at this step final_lr is reached
  double final_lr = 0;
};

/// Half a cosine from lr down to final_lr; then it rises again, with the period 2 * steps:
/// PyTorch's CosineAnnealingLR (Loshchilov and Hutter 2017).
template <class = void>
Schedule cosine(const CosineOptions& o) {
  detail::require_lr("cosine", "lr", o.lr);
  detail::require_steps("cosine", "steps", o.steps);
  detail::require_lr("cosine", "final_lr", o.final_lr);
  return [o](std::int64_t step) {
    return detail::cosine_between(o.lr, o.final_lr, detail::fraction(step, o.steps));
  };
}

struct Stage {
  Schedule schedule;
  std::int64_t steps = 0;  // needed by all but the last stage, which goes on for ever
};

/// One schedule after the other; each counts its own steps from 0: PyTorch's SequentialLR.
///
///     optim::sequential({{.schedule = optim::constant(0.1), .steps = 500},
///                        {.schedule = optim::cosine({.lr = 0.1, .steps = 1500})}})
template <class = void>
Schedule sequential(const std::vector<Stage>& stages) {
  if (stages.empty()) throw StateError(Message("sequential", "there is no stage"));
  for (std::size_t i = 0; i + 1 < stages.size(); ++i) {
    detail::require_steps("sequential", {"steps of stage ", i}, stages[i].steps);
  }
  return [stages](std::int64_t step) {
    std::size_t i = 0;
    for (; i + 1 < stages.size() && step >= stages[i].steps; ++i) step -= stages[i].steps;
    return stages[i].schedule(step);
  };
}

struct WarmUpOptions {
  Required<std::int64_t> steps;
  double start_factor = 0.1;  // of the learning rate that the schedule begins with
};

/// A straight line up to what `schedule` begins with, then `schedule` from its step 0: PyTorch's
/// SequentialLR of a LinearLR and another. In all, these are `steps` more than those of `schedule`.
template <class = void>
Schedule warm_up(const WarmUpOptions& o, const Schedule& schedule) {
  detail::require_steps("warm_up", "steps", o.steps);
  detail::require_lr("warm_up", "start_factor", o.start_factor);
  return [o, schedule](std::int64_t step) {
    auto settings = schedule(std::max<std::int64_t>(step - o.steps, 0));
    if (step < o.steps) {
      settings.lr *= detail::line_between(o.start_factor, 1, detail::fraction(step, o.steps));
    }
    return settings;
  };
}

}  // namespace tinynet::inline TINYNET_ABI::optim
