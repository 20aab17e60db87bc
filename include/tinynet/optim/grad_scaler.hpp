#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <tinynet/autograd/backward.hpp>
#include <tinynet/kernels/unscale.hpp>
#include <tinynet/optim/optimizer.hpp>
#include <tinynet/optim/runs.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// PyTorch's names and defaults.
struct GradScalerOptions {
  double init_scale = 65536;
  double growth_factor = 2;     // times the scale after growth_interval good steps in a row
  double backoff_factor = 0.5;  // times the scale after a step with an overflow
  std::int64_t growth_interval = 2000;
  double min_scale = 1.0 / 65536;  // where backing off ends in an error: it is no overflow then
  bool enabled = true;  // false: a scale of 1 and no check, for programs that choose T at run time
};

/// Loss scaling for float16, whose gradients would become zero (Micikevicius et al. 2018): the loss
/// is multiplied by a scale that grows as long as no gradient overflows. bfloat16 does not need it.
///
///     optim::GradScaler scaler;
///     scaler.backward(loss);
///     scaler.unscale(optimizer);                                   // only to look at or clip them
///     optim::clip_grad_norm(optimizer.parameters(), 1.0);
///     scaler.step(optimizer, schedule(optimizer.steps()));
///
/// A step whose gradients are not finite is skipped and counted. For several optimizers, make one
/// MultiOptimizer of them.
class GradScaler {
 public:
  [[gnu::noinline]] explicit GradScaler(const GradScalerOptions& options = {}) : options_(options) {
    require_setting(options.init_scale > 0 && std::isfinite(options.init_scale), "GradScaler",
                    "init_scale", options.init_scale, "finite and above 0");
    require_setting(options.growth_factor > 1, "GradScaler", "growth_factor", options.growth_factor,
                    "above 1");
    require_setting(options.backoff_factor > 0 && options.backoff_factor < 1, "GradScaler",
                    "backoff_factor", options.backoff_factor, "above 0 and below 1");
    require_setting(options.growth_interval >= 1, "GradScaler", "growth_interval",
                    static_cast<double>(options.growth_interval), "1 or more");
    *scale_.data() = options.init_scale;
  }
  GradScaler(GradScaler&&) noexcept = default;  // a copy would share the state
  GradScaler& operator=(GradScaler&&) noexcept = default;

  const GradScalerOptions& options() const { return options_; }
  /// What the loss is multiplied by.
  double scale() const { return options_.enabled ? scale_.item() : 1; }
  /// Steps that were not taken because of gradients that are not finite.
  std::int64_t skipped() const { return skipped_.item(); }

  /// loss.backward(weight) of the scaled loss. Several add up; a weight of 1 / passes makes a mean.
  template <Scalar T>
  void backward(const Variable<T>& loss, double weight = 1) const {
    if (unscaled_) {
      throw StateError(Message("GradScaler", "these gradients are no longer scaled")
                           .hint("call step after unscale, before the next backward"));
    }
    loss.backward(weight * scale());
  }

  /// Divides the gradients by the scale, so that they can be looked at or clipped before `step`.
  template <class P>
  [[gnu::noinline]] void unscale(const Optimizer<P>& optimizer) {
    if (unscaled_) {
      throw StateError(Message("GradScaler", "unscale was called twice before a step")
                           .hint("once after all backward passes of a step"));
    }
    unscaled_ = true;
    finite_ = true;
    if (!options_.enabled) return;
    const auto factor = static_cast<P>(1 / scale_.item());
    const auto any = [](std::size_t) { return true; };
    for_each_run(optimizer.parameters(), any,
                 [&](const Run<P>& run) { finite_ &= kernels::unscale<P>(run.gradients, factor); });
  }

  /// optimizer.step(settings...), or nothing where a gradient is not finite; then the next scale.
  /// Returns whether the step was taken.
  template <class P, class... Settings>
  [[gnu::noinline]] bool step(Optimizer<P>& optimizer, const Settings&... settings) {
    optimizer.check(settings...);  // what is refused can be repeated: it was not unscaled yet
    if (!unscaled_) unscale(optimizer);
    unscaled_ = false;
    if (finite_) optimizer.step(settings...);
    else optimizer.zero_grad();
    if (options_.enabled) update();
    return finite_;
  }

  /// Calls `f(name, tensor)` for "scale" (double), "growth_tracker" and "skipped" (int64): views,
  /// as Optimizer::visit_state gives them.
  template <class F>
  void visit_state(F f) const {
    f(std::string("scale"), scale_);
    f(std::string("growth_tracker"), growth_tracker_);
    f(std::string("skipped"), skipped_);
  }

 private:
  void update() {
    constexpr double largest = std::numeric_limits<float>::max();  // what the loss is scaled in
    auto& scale = *scale_.data();
    auto& good = *growth_tracker_.data();
    if (!finite_) {
      ++*skipped_.data();
      good = 0;
      scale *= options_.backoff_factor;
      if (scale < options_.min_scale) throw_min_scale();
    } else if (++good == options_.growth_interval) {
      good = 0;
      if (scale * options_.growth_factor <= largest) scale *= options_.growth_factor;
    }
  }

  [[noreturn, gnu::cold, gnu::noinline]] void throw_min_scale() const {
    throw StateError(Message("GradScaler", "the gradients are not finite, however small the scale")
                         .fact("scale", scale())
                         .fact("skipped", {skipped(), " steps"})
                         .hint("lower the learning rate, or look for the layer with "
                               "train::find_non_finite"));
  }

  GradScalerOptions options_;
  bool unscaled_ = false, finite_ = true;
  Tensor<double> scale_ = Tensor<double>::zeros({});
  Tensor<std::int64_t> growth_tracker_ = Tensor<std::int64_t>::zeros({});
  Tensor<std::int64_t> skipped_ = Tensor<std::int64_t>::zeros({});
};

}  // namespace tinynet::inline TINYNET_ABI::optim
