#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <tinynet/data/loader.hpp>
#include <tinynet/optim/grad_scaler.hpp>
#include <tinynet/optim/optimizer.hpp>
#include <tinynet/train/batch.hpp>
#include <tinynet/train/weights.hpp>

/// The range test for learning rates (Smith 2017): train for some steps while the learning rate
/// grows by a factor each, and look where the loss falls fastest.
namespace tinynet::inline TINYNET_ABI::train {

struct LrFindOptions {
  double start_lr = 1e-6;
  double end_lr = 10;
  std::int64_t steps = 100;
  double smoothing = 0.9;  // of the losses before, in the smoothed loss
  double diverged = 4;     // ends the test where the smoothed loss is so many times its lowest
  ops::CrossEntropyOptions loss = {};  // where a loader is given
  std::uint64_t seed = 1;              // of dropout
  /// Of the loss where a loader is given; left out: PyTorch's for images in float16, none for others.
  std::optional<optim::GradScalerOptions> scaler = {};
};

struct LrPoint {
  double lr = 0, loss = 0;
  double smoothed = 0;
};

struct LrCurve {
  std::vector<LrPoint> points;
  /// Where the smoothed loss falls fastest, for equal factors of lr: a learning rate to begin with.
  /// None where it falls nowhere.
  std::optional<double> suggestion = {};
};

namespace detail {

class LrSweep {
 public:
  explicit LrSweep(const LrFindOptions& options) : options_(options) {
    const auto check = [](bool ok, const char* setting, double came, const char* expected) {
      require_setting(ok, "lr_find", setting, came, expected);
    };
    const auto& o = options;
    check(o.start_lr > 0 && std::isfinite(o.start_lr), "start_lr", o.start_lr, "above 0");
    check(o.end_lr > o.start_lr && std::isfinite(o.end_lr), "end_lr", o.end_lr, "above start_lr");
    check(o.steps >= 2, "steps", static_cast<double>(o.steps), "2 or more");
    check(o.smoothing >= 0 && o.smoothing < 1, "smoothing", o.smoothing, "at least 0 and below 1");
    check(o.diverged > 1, "diverged", o.diverged, "above 1");
  }

  std::int64_t step() const { return std::ssize(curve_.points); }
  bool goes_on() const { return !ended_ && step() < options_.steps; }
  /// Of the next step.
  double lr() const {
    const double at = static_cast<double>(step()) / static_cast<double>(options_.steps - 1);
    return options_.start_lr * std::pow(options_.end_lr / options_.start_lr, at);
  }

  /// Takes the loss that the next step starts from; whether that step is to be made.
  bool add(double loss) {
    sum_ = options_.smoothing * sum_ + (1 - options_.smoothing) * loss;
    weight_ = options_.smoothing * weight_ + (1 - options_.smoothing);
    const double smoothed = sum_ / weight_;
    const double too_high = lowest_ + (options_.diverged - 1) * std::abs(lowest_);
    ended_ = !std::isfinite(loss) || (step() > 0 && smoothed > too_high);
    if (std::isfinite(loss)) curve_.points.push_back({lr(), loss, smoothed});
    lowest_ = std::min(lowest_, smoothed);
    return !ended_;
  }

  LrCurve curve() const {
    auto curve = curve_;
    const auto& p = curve.points;
    double steepest = 0;
    // The first losses are single ones, not yet smoothed; the last may be on its way up.
    for (std::size_t i = p.size() / 10 + 1; i + 1 < p.size(); ++i) {
      const double slope = p[i + 1].smoothed - p[i - 1].smoothed;
      if (slope >= steepest) continue;
      steepest = slope;
      curve.suggestion = p[i].lr;
    }
    return curve;
  }

 private:
  LrFindOptions options_;
  LrCurve curve_;
  double sum_ = 0, weight_ = 0, lowest_ = std::numeric_limits<double>::infinity();
  bool ended_ = false;
};

/// Gives a model and its optimizer back what they hold now, when it goes.
template <class P>
class Untouched {
 public:
  Untouched(const nn::Members& model, optim::Optimizer<P>& optimizer)
      : loan_(model), weights_(model), optimizer_(optimizer) {
    optimizer.visit_state([&](const std::string&, auto tensor) {
      const auto bytes = std::as_bytes(tensor.span());
      state_.emplace_back(bytes.begin(), bytes.end());
    });
  }
  ~Untouched() {
    weights_.copy_to(loan_.model());
    std::size_t i = 0;
    optimizer_.visit_state([&](const std::string&, auto tensor) {
      std::copy(state_[i].begin(), state_[i].end(), std::as_writable_bytes(tensor.span()).data());
      ++i;
    });
    optimizer_.zero_grad();
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;

 private:
  const Loan loan_;
  Weights weights_;
  optim::Optimizer<P>& optimizer_;
  std::vector<std::vector<std::byte>> state_;
};

}  // namespace detail

/// The test for any training step: `backward(step)` runs a forward and a backward pass and returns
/// the loss. Leaves model and optimizer as they were, also where it throws.
template <class P, std::invocable<std::int64_t> Backward>
LrCurve lr_find(const nn::Members& model, optim::Optimizer<P>& optimizer, Backward backward,
                const LrFindOptions& options = {}) {
  detail::LrSweep sweep(options);
  const detail::Untouched<P> untouched(model, optimizer);
  while (sweep.goes_on()) {
    const double lr = sweep.lr();
    if (sweep.add(backward(sweep.step()))) optimizer.step(lr);
  }
  return sweep.curve();
}

/// The test for a classifier and cross-entropy, on as many epochs of the loader as it needs.
///
///     const auto curve = train::lr_find(model, optimizer, loader);
///     if (curve.suggestion) optimizer.step(*curve.suggestion);
template <class Model, class P, Scalar T>
LrCurve lr_find(Model& model, optim::Optimizer<P>& optimizer, const data::Loader<T>& loader,
                const LrFindOptions& options = {}) {
  detail::LrSweep sweep(options);
  const detail::Untouched<P> untouched(model, optimizer);
  optim::GradScaler scaler(
      options.scaler.value_or(optim::GradScalerOptions{.enabled = std::is_same_v<T, float16>}));
  for (std::int64_t epoch = 0; sweep.goes_on(); ++epoch) {
    for (const auto& batch : loader.epoch(epoch)) {
      const auto step = static_cast<std::uint64_t>(sweep.step());
      Tape tape;
      auto ctx = Context::training(tape, random::Key{options.seed}.fold(step));
      const auto loss =
          cross_entropy(model(Variable<T>(batch.images), ctx), batch, options.loss, ctx);
      const double lr = sweep.lr();
      if (sweep.add(loss.item())) {
        scaler.backward(loss);
        scaler.step(optimizer, lr);
      }
      if (!sweep.goes_on()) break;
    }
  }
  return sweep.curve();
}

}  // namespace tinynet::inline TINYNET_ABI::train
