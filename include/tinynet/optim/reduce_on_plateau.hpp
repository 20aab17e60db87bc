#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <tinynet/core/required.hpp>
#include <tinynet/optim/step_settings.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// Whether a metric is better when it is lower (a loss) or higher (an accuracy).
enum class Goal { minimize, maximize };

/// PyTorch's names and defaults, but that lr is needed.
struct ReduceOnPlateauOptions {
  Required<double> lr;  // to begin with
  Goal goal = Goal::minimize;
  double factor = 0.1;             // times lr on a plateau
  std::int64_t patience = 10;      // updates without improvement that are let pass
  double threshold = 1e-4;         // an improvement is larger than this
  bool relative_threshold = true;  // as a share of the best so far
  std::int64_t cooldown = 0;       // updates after a reduction that are not counted
  double min_lr = 0;
  double eps = 1e-8;  // a reduction by no more than this is not made
};

/// Lowers the learning rate when a metric stops getting better: PyTorch's ReduceLROnPlateau. Not a
/// function of the step, so it has state, which belongs into a checkpoint.
///
///     optim::ReduceOnPlateau plateau({.lr = 0.1, .patience = 5});
///     ...optimizer.step(plateau.lr());
///     plateau.update(validation.loss);   // once an epoch
class ReduceOnPlateau {
 public:
  explicit ReduceOnPlateau(const ReduceOnPlateauOptions& options) : options_(options) {
    const auto check = [](bool ok, const char* setting, double came, const char* expected) {
      require_setting(ok, "ReduceOnPlateau", setting, came, expected);
    };
    const double lr = options.lr;
    check(lr >= 0 && std::isfinite(lr), "lr", lr, "a finite number, 0 or more");
    check(options.factor > 0 && options.factor < 1, "factor", options.factor,
          "above 0 and below 1");
    check(options.patience >= 0, "patience", static_cast<double>(options.patience), "0 or more");
    check(options.threshold >= 0, "threshold", options.threshold, "0 or more");
    check(options.cooldown >= 0, "cooldown", static_cast<double>(options.cooldown), "0 or more");
    check(options.min_lr >= 0, "min_lr", options.min_lr, "0 or more");
    check(options.eps >= 0, "eps", options.eps, "0 or more");
    constexpr double infinity = std::numeric_limits<double>::infinity();
    *lr_.data() = lr;
    *best_.data() = options.goal == Goal::minimize ? infinity : -infinity;
  }
  ReduceOnPlateau(ReduceOnPlateau&&) noexcept = default;  // a copy would share the state
  ReduceOnPlateau& operator=(ReduceOnPlateau&&) noexcept = default;

  const ReduceOnPlateauOptions& options() const { return options_; }
  /// What to train with until the next update.
  double lr() const { return lr_.item(); }
  /// The best metric so far.
  double best() const { return best_.item(); }

  /// Takes the metric of an epoch and returns whether lr was lowered. NaN is no improvement.
  bool update(double metric) {
    auto &bad = *bad_updates_.data(), &cooling = *cooldown_.data();
    if (improves(metric)) {
      *best_.data() = metric;
      bad = 0;
    } else {
      ++bad;
    }
    if (cooling > 0) {
      --cooling;
      bad = 0;
    }
    if (bad <= options_.patience) return false;
    bad = 0;
    cooling = options_.cooldown;
    const double lower = std::max(lr() * options_.factor, options_.min_lr);
    if (lr() - lower <= options_.eps) return false;
    *lr_.data() = lower;
    return true;
  }

  /// Calls `f(name, tensor)` for "lr", "best" (double), "bad_updates" and "cooldown" (int64):
  /// views, as Optimizer::visit_state gives them.
  template <class F>
  void visit_state(F f) const {
    f(std::string("lr"), lr_);
    f(std::string("best"), best_);
    f(std::string("bad_updates"), bad_updates_);
    f(std::string("cooldown"), cooldown_);
  }

 private:
  bool improves(double metric) const {
    const double t = options_.threshold;
    if (options_.goal == Goal::minimize) {
      return metric < (options_.relative_threshold ? best() * (1 - t) : best() - t);
    }
    return metric > (options_.relative_threshold ? best() * (1 + t) : best() + t);
  }

  ReduceOnPlateauOptions options_;
  Tensor<double> lr_ = Tensor<double>::zeros({}), best_ = Tensor<double>::zeros({});
  Tensor<std::int64_t> bad_updates_ = Tensor<std::int64_t>::zeros({});
  Tensor<std::int64_t> cooldown_ = Tensor<std::int64_t>::zeros({});
};

}  // namespace tinynet::inline TINYNET_ABI::optim
