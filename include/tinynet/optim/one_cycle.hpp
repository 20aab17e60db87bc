#pragma once

#include <array>

#include <tinynet/optim/schedule.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

enum class Anneal { cosine, linear };

/// PyTorch's names and defaults, but that total_steps is needed.
struct OneCycleOptions {
  Required<double> max_lr;
  Required<std::int64_t> total_steps;  // epochs * steps per epoch
  double pct_start = 0.3;              // the share of the steps, 0 to 1, in which lr rises
  Anneal anneal = Anneal::cosine;
  bool cycle_momentum = true;  // momentum falls while lr rises, and the other way round
  double base_momentum = 0.85;
  double max_momentum = 0.95;
  double div_factor = 25;         // lr begins at max_lr / div_factor
  double final_div_factor = 1e4;  // and ends at max_lr / div_factor / final_div_factor
  bool three_phase = false;       // down to where it began in as many steps, then to the end
};

/// Up to max_lr and down to almost nothing (Smith and Topin 2018): PyTorch's OneCycleLR, whose step
/// i is the i-th that is trained. Calling it with total_steps or more throws StateError.
template <class = void>
Schedule one_cycle(const OneCycleOptions& o) {
  const auto momentum = [](const char* name, double value) {
    require_setting(value >= 0 && value < 1, "one_cycle", name, value, "at least 0 and below 1");
  };
  const auto positive = [](const char* name, double value) {
    require_setting(value > 0, "one_cycle", name, value, "above 0");
  };
  detail::require_lr("one_cycle", "max_lr", o.max_lr);
  detail::require_steps("one_cycle", "total_steps", o.total_steps);
  require_setting(o.pct_start >= 0 && o.pct_start <= 1, "one_cycle", "pct_start", o.pct_start,
                  "0 to 1");
  momentum("base_momentum", o.base_momentum);
  momentum("max_momentum", o.max_momentum);
  positive("div_factor", o.div_factor);
  positive("final_div_factor", o.final_div_factor);

  return [o](std::int64_t step) {
    const std::int64_t total = o.total_steps;
    if (step >= total) {
      throw StateError(Message("one_cycle", "the step is beyond the last")
                           .fact("expected", {"0 to ", total - 1})
                           .fact("came", step)
                           .hint("set total_steps to epochs * steps per epoch"));
    }
    // A phase ends at a step that need not be whole, and the next one begins there.
    struct Phase {
      double end, lr, momentum;  // at its end
    };
    const double start = o.max_lr / o.div_factor;
    const double peak = o.pct_start * static_cast<double>(total) - 1;
    const Phase last{static_cast<double>(total - 1), start / o.final_div_factor, o.max_momentum};
    const Phase top{peak, o.max_lr, o.base_momentum}, down{2 * peak, start, o.max_momentum};
    const std::array phases{top, o.three_phase ? down : last, last};
    const double at = static_cast<double>(step);
    Phase from{0, start, o.max_momentum}, to = phases[0];
    for (std::size_t i = 1; i < phases.size() && at > to.end; ++i) {
      from = to;
      to = phases[i];
    }
    const double done = to.end > from.end ? (at - from.end) / (to.end - from.end) : 1;
    const auto between = o.anneal == Anneal::cosine ? detail::cosine_between : detail::line_between;
    StepSettings settings{.lr = between(from.lr, to.lr, done)};
    if (o.cycle_momentum) settings.momentum = between(from.momentum, to.momentum, done);
    return settings;
  };
}

}  // namespace tinynet::inline TINYNET_ABI::optim
