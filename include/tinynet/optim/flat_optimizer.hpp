#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/optim/group.hpp>
#include <tinynet/optim/optimizer.hpp>
#include <tinynet/optim/runs.hpp>
#include <tinynet/optim/sort_by_group.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// What optimizers with a formula share: parameters in groups, laid out flat with their gradients
/// and with the optimizer's state, and the walk over them. A new one names its state
/// (`Setup::state`) and overrides `update`.
template <class P>
class FlatOptimizer : public Optimizer<P> {
 public:
  FlatOptimizer(FlatOptimizer&&) = default;
  FlatOptimizer& operator=(FlatOptimizer&&) = default;
  [[gnu::noinline]] ~FlatOptimizer() override {}
  const char* name() const override { return setup_.name; }
  std::optional<double> lr() const override { return setup_.lr; }
  std::int64_t steps() const override { return steps_.item(); }
  /// Group after group: in this order values and gradients lie in flat buffers.
  const ParameterList<P>& parameters() const override { return parameters_; }

 protected:
  struct Setup {
    const char* name;          // of the optimizer, for messages
    std::optional<double> lr;  // none: every step must be given one
    double momentum;           // where a step does not say
    double weight_decay;
    std::vector<Group> groups;
    const char* no_momentum = nullptr;  // the option to ask for it by, where there is none to keep
    std::array<const char*, 3> state = {};  // names of what is kept for each element, zero before
                                            // step 1; as many as there are, the rest null
  };

  /// Parameters that one pass of a kernel updates.
  struct Update {
    std::span<P> values;
    std::span<const P> gradients;
    List<std::span<P>> state;  // in the order of Setup::state
    double lr, momentum, weight_decay;
    std::int64_t count;  // how often they were updated, this time included
    std::span<const std::shared_ptr<ParameterState<P>>> parameters;  // side by side in the spans
  };

  /// Throws StateError for settings out of range, no parameter to train, one without values, one
  /// given twice, or a group without parameters.
  FlatOptimizer(const ParameterList<P>& parameters, Setup setup) : setup_(std::move(setup)) {
    check_setup();
    auto sorted = sort_by_group(setup_.name, parameters, setup_.groups);
    parameters_ = std::move(sorted.parameters);
    group_of_ = std::move(sorted.group_of);
    parameters_.flatten();
    std::size_t offset = 0;
    for (const auto& state : parameters_) {
      offsets_.push_back(offset);
      offset += state->value.span().size();
    }
    for (std::size_t k = 0; k < setup_.state.size() && setup_.state[k]; ++k) {
      state_.push_back(Tensor<P>::zeros({parameters_.elements()}));
    }
    updates_ = Tensor<std::int64_t>::zeros({std::ssize(group_of_)});
  }

 private:
  virtual void update(const Update& run) = 0;

  [[gnu::noinline]] void check_step(const StepSettings& settings) const override {
    const double momentum = settings.momentum.value_or(setup_.momentum);
    require_setting(settings.lr >= 0 && settings.lr < infinity, setup_.name, "lr", settings.lr,
                    "a finite number, 0 or more");
    require_setting(momentum >= 0 && momentum < 1, setup_.name, "momentum", momentum,
                    "at least 0 and below 1");
    if (momentum == 0 || !setup_.no_momentum) return;
    throw StateError(
        Message(setup_.name, "a step asks for momentum, but there was none at the start")
            .fact("came", momentum)
            .hint({"set ", setup_.no_momentum, ", or cycle_momentum = false in the schedule"}));
  }

  [[gnu::noinline]] void take_step(const StepSettings& settings) override {
    check_step(settings);
    const double momentum = settings.momentum.value_or(setup_.momentum);
    const auto alike = [&](std::size_t i) {
      return group_of_[i] == group_of_[i - 1] && updates(i) == updates(i - 1);
    };
    bool updated = false;
    for_each_run(parameters_, alike, [&](const Run<P>& run) {
      const auto g = group_of_[run.first];
      const auto* group = g < setup_.groups.size() ? &setup_.groups[g] : nullptr;
      Update one{run.values,
                 run.gradients,
                 {},
                 group ? settings.lr * group->lr_scale : settings.lr,
                 momentum,
                 group ? group->weight_decay.value_or(setup_.weight_decay) : setup_.weight_decay,
                 updates(run.first) + 1,
                 {&parameters_[run.first], run.last - run.first}};
      for (auto& flat : state_) {
        one.state.push_back(flat.span().subspan(offsets_[run.first], run.values.size()));
      }
      update(one);
      for (auto i = run.first; i < run.last; ++i) {
        ++parameters_[i]->version;
        ++updates(i);
      }
      updated = true;
    });
    if (!updated) {
      throw StateError(Message(setup_.name, "no parameter has a gradient")
                           .hint("call loss.backward() before each step"));
    }
    this->zero_grad();
    ++*steps_.data();
  }

  /// "steps" and for each parameter "updates.<name>", both int64 scalars, and its state under
  /// PyTorch's names, "momentum_buffer.<name>" say, with the parameter's shape.
  void visit(const typename Optimizer<P>::StateVisitor& f) const override {
    f("steps", steps_);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const auto& parameter = *parameters_[i];
      f(Text({"updates.", parameter.name}).string(),
        Tensor<std::int64_t>(updates_.buffer(), static_cast<std::int64_t>(i), {}));
      for (std::size_t k = 0; k < state_.size(); ++k) {
        f(Text({setup_.state[k], ".", parameter.name}).string(),
          Tensor<P>(state_[k].buffer(), static_cast<std::int64_t>(offsets_[i]),
                    parameter.value.shape()));
      }
    }
  }

  std::int64_t& updates(std::size_t i) { return updates_.data()[i]; }

  void check_setup() const {
    const auto check = [&](const char* setting, double came) {
      require_setting(came >= 0 && came < infinity, setup_.name, setting, came,
                      "a finite number, 0 or more");
    };
    check("lr", setup_.lr.value_or(0));
    check("weight_decay", setup_.weight_decay);
    for (const auto& group : setup_.groups) {
      check("lr_scale of a group", group.lr_scale);
      check("weight_decay of a group", group.weight_decay.value_or(0));
    }
  }

  static constexpr double infinity = std::numeric_limits<double>::infinity();

  Setup setup_;
  ParameterList<P> parameters_;   // sorted by group
  List<std::size_t> group_of_;    // of each parameter
  List<std::size_t> offsets_;     // of each parameter's elements in a flat buffer
  List<Tensor<P>> state_;         // flat buffers
  Tensor<std::int64_t> updates_;  // of each parameter
  Tensor<std::int64_t> steps_ = Tensor<std::int64_t>::zeros({});
};

}  // namespace tinynet::inline TINYNET_ABI::optim
