#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include <tinynet/core/require_setting.hpp>
#include <tinynet/kernels/update.hpp>
#include <tinynet/train/weights.hpp>

namespace tinynet::inline TINYNET_ABI::train {

struct EmaOptions {
  double decay = 0.999;  // of the average in each update: it looks back about 1 / (1 - decay) steps
  /// min(decay, (1 + t) / (10 + t)) at update t: a short training then forgets its beginning.
  bool warm_up = true;
};

/// A running mean of a model's weights, which often tests better than the weights (Polyak and
/// Juditsky 1992). The running statistics of batch norm are averaged with them: the mean of the
/// weights with the statistics of other weights is a broken model.
///
///     train::Ema ema(model, {.decay = 0.998});
///     ...optimizer.step(); ema.update(model);      // after every step
///     {
///       const auto averaged = ema.swap_into(model);
///       train::evaluate(model, loader);
///     }                                            // the raw weights are back
///
/// Update 0 takes the model's values. An Ema lists them as the model does: nn::save(ema, path)
/// writes a file that nn::load(model, path) reads, nn::copy_values(ema, copy) fills another model.
template <class = void>
class EmaOnDemand {
 public:
  explicit EmaOnDemand(const nn::Members& model, const EmaOptions& options = {})
      : options_(options), weights_(model) {
    require_setting(options.decay >= 0 && options.decay < 1, "Ema", "decay", options.decay,
                    "at least 0 and below 1");
  }
  EmaOnDemand(EmaOnDemand&&) noexcept = default;
  EmaOnDemand& operator=(EmaOnDemand&&) noexcept = default;

  const EmaOptions& options() const { return options_; }
  /// Updates so far.
  std::int64_t updates() const { return updates_.item(); }
  /// The share of the old average in the next update.
  double decay() const {
    const auto t = static_cast<double>(updates());
    if (t == 0) return 0;
    return options_.warm_up ? std::min(options_.decay, (1 + t) / (10 + t)) : options_.decay;
  }

  /// average = decay * average + (1 - decay) * value, for each parameter and buffer. Throws
  /// StateError if the model is another, or while it has the averages.
  void update(const nn::Members& model) {
    require_apart("update");
    const double d = decay();
    weights_.combine_with(model, [d]<class P>(std::span<P> average, std::span<const P> values) {
      kernels::ema_update<P>(average, values, d);
    });
    ++*updates_.data();
  }

  /// Throws StateError while the model has the averages.
  void members(nn::Members& m) {
    require_apart("members");
    weights_.members(m);
  }

  /// Gives a model the averages for good.
  void copy_to(const nn::Members& model) {
    require_apart("copy_to");
    weights_.copy_to(model);
  }

  /// Exchanges the model's values for the averages; its destructor exchanges them back. Neither
  /// model nor Ema may be moved or destroyed meanwhile, and nn::freeze refuses the model.
  class Swap {
   public:
    Swap(EmaOnDemand& ema, nn::Members model) : ema_(ema), loan_(std::move(model)) {
      ema_.require_apart("swap_into");
      ema_.weights_.swap_with(loan_.model());
      ema_.swapped_ = true;
    }
    ~Swap() {
      ema_.weights_.swap_with(loan_.model());
      ema_.swapped_ = false;
    }
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

   private:
    EmaOnDemand& ema_;
    const Loan loan_;
  };
  [[nodiscard]] Swap swap_into(const nn::Members& model) { return Swap(*this, model); }

  /// Calls `f(name, tensor)` for "updates" (int64) and each average: views, as
  /// Optimizer::visit_state gives them.
  template <class F>
  void visit_state(const F& f) const {
    require_apart("visit_state");
    f(std::string("updates"), updates_);
    weights_.visit_state(f);
  }

 private:
  void require_apart(const char* call) const {
    if (!swapped_) return;
    throw StateError(Message("Ema", "the averages are in the model")
                         .fact("call", call)
                         .hint("let what swap_into returned go out of scope first"));
  }

  EmaOptions options_;
  Weights weights_;
  bool swapped_ = false;
  Tensor<std::int64_t> updates_ = Tensor<std::int64_t>::zeros({});
};
using Ema = EmaOnDemand<>;

}  // namespace tinynet::inline TINYNET_ABI::train
