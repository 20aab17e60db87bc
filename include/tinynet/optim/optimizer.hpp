#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <tinynet/autograd/parameter.hpp>
#include <tinynet/core/function.hpp>
#include <tinynet/optim/step_settings.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What a training loop knows of an optimizer: it takes steps, and it can be put into a checkpoint.
/// `FlatOptimizer` is what a rule with a formula (Sgd, AdamW) is built on; `Lookahead` and
/// `MultiOptimizer` are made of other optimizers.
///
/// As in PyTorch, a parameter that got no gradient since the last step is left alone, its momentum
/// too. Unlike there, a step uses the gradients up: the next backward pass overwrites them, and
/// there is no zero_grad to forget. Several backward passes before one step add up; for the mean
/// over them, weigh each: loss.backward(1.0 / passes).
template <class P>
class Optimizer {
 public:
  using Element = P;  // of the parameters: float or double

  virtual ~Optimizer() = default;

  /// One update with the learning rate of the options.
  void step() { step(own_lr()); }
  void step(double lr) { step(StepSettings{.lr = lr}); }
  /// One update with what a schedule says: optimizer.step(schedule(optimizer.steps())).
  /// Throws StateError if no parameter has a gradient.
  void step(const StepSettings& settings) { take_step(settings); }

  /// Throws StateError where a step would for its settings, before anything has changed.
  void check() const { check(own_lr()); }
  void check(double lr) const { check(StepSettings{.lr = lr}); }
  void check(const StepSettings& settings) const { check_step(settings); }

  /// Drops the gradients without a step, after a loss that is NaN, say.
  void zero_grad() const { parameters().zero_grad(); }

  /// What stands in messages.
  virtual const char* name() const = 0;
  /// The learning rate of the options, if there is one.
  virtual std::optional<double> lr() const = 0;
  /// Steps taken so far.
  virtual std::int64_t steps() const = 0;
  /// What is trained: without the parameters that were frozen at the start.
  virtual const ParameterList<P>& parameters() const = 0;

  /// Calls `f(name, tensor)` for everything that a checkpoint must hold: counters in int64, the
  /// rest in P. The tensors are views: writing to them restores a checkpoint.
  template <class F>
  void visit_state(F f) const {
    visit({[&f](const std::string& name, Tensor<P> tensor) { f(name, std::move(tensor)); },
           [&f](const std::string& name, Tensor<std::int64_t> tensor) {
             f(name, std::move(tensor));
           }});
  }

 protected:
  /// `visit_state` for virtual functions.
  struct StateVisitor {
    Function<void(const std::string&, Tensor<P>)> values;
    Function<void(const std::string&, Tensor<std::int64_t>)> counts;

    void operator()(const std::string& name, const Tensor<P>& tensor) const {
      values(name, tensor);
    }
    void operator()(const std::string& name, const Tensor<std::int64_t>& tensor) const {
      counts(name, tensor);
    }
  };

  Optimizer() = default;
  Optimizer(Optimizer&&) noexcept = default;
  Optimizer& operator=(Optimizer&&) noexcept = default;

 private:
  double own_lr() const {
    const auto own = lr();
    if (!own) {
      throw StateError(Message(name(), "there is no learning rate")
                           .hint("set lr in the options, or give one to each step: step(lr)"));
    }
    return *own;
  }
  virtual void check_step(const StepSettings&) const {}
  virtual void take_step(const StepSettings& settings) = 0;
  virtual void visit(const StateVisitor& f) const = 0;
};

}  // namespace tinynet::inline TINYNET_ABI::optim
