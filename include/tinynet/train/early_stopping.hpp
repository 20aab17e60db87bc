#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <tinynet/optim/reduce_on_plateau.hpp>
#include <tinynet/train/weights.hpp>

namespace tinynet::inline TINYNET_ABI::train {

struct EarlyStoppingOptions {
  std::int64_t patience = 10;  // updates in a row without improvement after which training ends
  double min_delta = 0;        // an improvement is larger than this
  optim::Goal goal = optim::Goal::minimize;
};

/// Ends a training that no longer gets better, and keeps the weights of its best moment. Feed it a
/// metric of a validation split: choosing by the test images makes their accuracy a guess.
///
///     train::EarlyStopping stopping(model, {.patience = 5, .goal = optim::Goal::maximize});
///     for (...) {
///       ...
///       if (stopping.update(validation.accuracy, model)) break;
///     }
///     stopping.restore_best(model);
template <class = void>
class EarlyStoppingOnDemand {
 public:
  explicit EarlyStoppingOnDemand(const nn::Members& model, const EarlyStoppingOptions& options = {})
      : options_(options), weights_(model) {
    const auto patience = static_cast<double>(options.patience);
    require_setting(patience >= 1, "EarlyStopping", "patience", patience, "1 or more");
    require_setting(options.min_delta >= 0, "EarlyStopping", "min_delta", options.min_delta,
                    "0 or more");
    constexpr double infinity = std::numeric_limits<double>::infinity();
    *best_.data() = options.goal == optim::Goal::minimize ? infinity : -infinity;
  }
  EarlyStoppingOnDemand(EarlyStoppingOnDemand&&) noexcept = default;
  EarlyStoppingOnDemand& operator=(EarlyStoppingOnDemand&&) noexcept = default;

  const EarlyStoppingOptions& options() const { return options_; }
  /// The best metric so far, and the update, counted from 0, that it came with; -1 before one.
  double best() const { return best_.item(); }
  std::int64_t best_update() const { return best_update_.item(); }
  /// Whether the last update was the best one.
  bool improved() const { return best_update() >= 0 && best_update() == updates_.item() - 1; }

  /// Takes the metric of an epoch, keeps the weights if it is the best, and returns whether it is
  /// time to stop. NaN is no improvement.
  bool update(double metric, const nn::Members& model) {
    const bool better = options_.goal == optim::Goal::minimize
                            ? metric < best() - options_.min_delta
                            : metric > best() + options_.min_delta;
    if (better) {
      weights_.copy_from(model);
      *best_.data() = metric;
      *best_update_.data() = updates_.item();
    }
    ++*updates_.data();
    return time_to_stop();
  }

  /// Whether there was no improvement for too long: what the last `update` returned.
  bool time_to_stop() const { return updates_.item() - 1 - best_update() >= options_.patience; }

  /// Gives the model the weights of its best update. Throws StateError if there was none.
  void restore_best(const nn::Members& model) {
    if (best_update() < 0) {
      throw StateError(Message("EarlyStopping", "there are no best weights")
                           .fact("updates", updates_.item())
                           .hint("call update(metric, model) with a metric that is not NaN"));
    }
    weights_.copy_to(model);
  }

  /// Calls `f(name, tensor)` for "best" (double), "best_update" and "updates" (int64), and for the
  /// best weights behind "weights.": views, as Optimizer::visit_state gives them.
  template <class F>
  void visit_state(const F& f) const {
    f(std::string("best"), best_);
    f(std::string("best_update"), best_update_);
    f(std::string("updates"), updates_);
    weights_.visit_state(
        [&](const std::string& name, const auto& tensor) { f("weights." + name, tensor); });
  }

  /// What a checkpoint holds at least, for each of the int64 tensors.
  static std::int64_t lowest_count(const std::string& name) {
    return name == "best_update" ? -1 : 0;
  }

 private:
  EarlyStoppingOptions options_;
  Weights weights_;
  Tensor<double> best_ = Tensor<double>::zeros({});
  Tensor<std::int64_t> best_update_ = Tensor<std::int64_t>::full({}, -1);
  Tensor<std::int64_t> updates_ = Tensor<std::int64_t>::zeros({});
};
using EarlyStopping = EarlyStoppingOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::train
