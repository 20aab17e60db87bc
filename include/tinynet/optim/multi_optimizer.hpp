#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <tinynet/optim/optimizer.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// Several optimizers, each with parameters of its own, that step as one (the name is MLX's). A
/// schedule is written for the first; the learning rates of the others, which their options must
/// hold, keep their ratio to its. A schedule's momentum goes to all of them.
///
///     const auto parts = optim::split(nn::parameters(model), optim::matrices());
///     optim::MultiOptimizer optimizer(optim::Muon(parts.matching, {.lr = 0.24}),
///                                     optim::Sgd(parts.rest, {.lr = 0.05, .momentum = 0.85}));
///     optimizer.step(0.12);   // Sgd: 0.025
///
/// An optimizer none of whose parameters has a gradient is passed over. Throws StateError where two
/// have a parameter in common.
template <class P>
class MultiOptimizer : public Optimizer<P> {
 public:
  template <class First, class Second, class... More>
  explicit MultiOptimizer(First first, Second second, More... more) {
    append(std::move(first));
    append(std::move(second));
    (append(std::move(more)), ...);
  }

  std::size_t size() const { return parts_.size(); }
  const Optimizer<P>& operator[](std::size_t i) const { return *parts_[i]; }

  const char* name() const override { return "MultiOptimizer"; }
  std::optional<double> lr() const override { return parts_[0]->lr(); }
  std::int64_t steps() const override { return steps_.item(); }
  const ParameterList<P>& parameters() const override { return parameters_; }

 private:
  template <class Part>
  void append(Part part) {
    require_setting(part.lr().value_or(0) > 0, "MultiOptimizer",
                    {"lr of the ", part.name(), " in it"}, part.lr().value_or(0), "above 0");
    for (const auto& state : part.parameters()) {
      if (std::find(parameters_.begin(), parameters_.end(), state) != parameters_.end()) {
        throw StateError(Message("MultiOptimizer", "two optimizers have the same parameter")
                             .fact("parameter", state->name)
                             .hint("part the list: optim::split(parameters, filter)"));
      }
      parameters_.append(state);
    }
    parts_.push_back(std::make_unique<Part>(std::move(part)));
  }

  /// Settings for a part.
  StepSettings of_part(std::size_t i, const StepSettings& settings) const {
    const double factor = settings.lr / *parts_[0]->lr();
    return {.lr = i == 0 ? settings.lr : *parts_[i]->lr() * factor, .momentum = settings.momentum};
  }

  /// Whether a part is passed over.
  bool rests(std::size_t i) const {
    const auto& list = parts_[i]->parameters();
    return std::none_of(list.begin(), list.end(),
                        [](const auto& state) { return state->trainable && state->has_gradient; });
  }

  void check_step(const StepSettings& settings) const override {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!rests(i)) parts_[i]->check(of_part(i, settings));
    }
  }

  void take_step(const StepSettings& settings) override {
    check_step(settings);  // of all parts, before the first one steps
    bool updated = false;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (rests(i)) continue;
      parts_[i]->step(of_part(i, settings));
      updated = true;
    }
    if (!updated) {
      throw StateError(Message(name(), "no parameter has a gradient")
                           .hint("call loss.backward() before each step"));
    }
    ++*steps_.data();
  }

  /// "steps", and the state of each part behind its number: "0.momentum_buffer.<name>".
  void visit(const typename Optimizer<P>::StateVisitor& f) const override {
    f("steps", steps_);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      parts_[i]->visit_state([&](const std::string& name, const auto& tensor) {
        f(std::to_string(i) + "." + name, tensor);
      });
    }
  }

  std::vector<std::unique_ptr<Optimizer<P>>> parts_;
  ParameterList<P> parameters_;
  Tensor<std::int64_t> steps_ = Tensor<std::int64_t>::zeros({});
};

template <class First, class... More>
MultiOptimizer(First, More...) -> MultiOptimizer<typename First::Element>;

}  // namespace tinynet::inline TINYNET_ABI::optim
