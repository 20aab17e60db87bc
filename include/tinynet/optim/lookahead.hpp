#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <tinynet/core/function.hpp>
#include <tinynet/kernels/update.hpp>
#include <tinynet/optim/optimizer.hpp>
#include <tinynet/optim/runs.hpp>

namespace tinynet::inline TINYNET_ABI::optim {

/// The paper's defaults.
struct LookaheadOptions {
  std::int64_t k = 5;  // steps of the inner optimizer between two of the slow weights
  double alpha = 0.5;  // how far the slow weights go, 0 to 1
  /// Where given, alpha after that many steps.
  Function<double(std::int64_t)> alpha_at = {};
};

/// The variant of airbench94 (Jordan 2024): every five steps, alpha falling from 1 to 0.23 as the
/// cube of the time. Average the running statistics of batch norm with it (`Lookahead`'s buffers).
inline LookaheadOptions airbench_lookahead(std::int64_t total_steps) {
  require_setting(total_steps > 0, "airbench_lookahead", "total_steps",
                  static_cast<double>(total_steps), "1 or more");
  return {.alpha_at = [total_steps](std::int64_t step) {
    const double time = static_cast<double>(step) / static_cast<double>(total_steps);
    return std::max(0.0, 1 - std::pow(0.95, 5) * std::pow(time, 3));
  }};
}

/// Lookahead Optimizer: k steps forward, 1 step back (Zhang et al. 2019), around another optimizer,
/// whose state goes on as it is. After every k-th step:
///
///     slow += alpha * (value - slow)
///     value = slow
///
///     optim::Lookahead lookahead(optim::Sgd(nn::parameters(model), {.lr = 0.1}), {.k = 5});
///     ...
///     lookahead.use_slow_weights();   // before the test: the last step need not be a k-th one
///
/// The slow weights begin as the values before the first step. Tensors in `buffers` are averaged in
/// the same way: nn::buffers(model) for the running statistics of batch norm.
template <class P>
class Lookahead : public Optimizer<P> {
 public:
  template <class Inner>
  explicit Lookahead(Inner inner, LookaheadOptions options = {},
                     std::vector<Tensor<P>> buffers = {})
      : inner_(std::make_unique<Inner>(std::move(inner))),
        options_(std::move(options)),
        slow_(Tensor<P>::zeros({inner_->parameters().elements()})),
        buffers_(std::move(buffers)) {
    require_setting(options_.k >= 1, "Lookahead", "k", static_cast<double>(options_.k),
                    "1 or more");
    require_alpha(options_.alpha);
    for (const auto& buffer : buffers_) slow_buffers_.push_back(buffer.clone());
  }

  const LookaheadOptions& options() const { return options_; }
  const Optimizer<P>& inner() const { return *inner_; }

  const char* name() const override { return "Lookahead"; }
  std::optional<double> lr() const override { return inner_->lr(); }
  std::int64_t steps() const override { return inner_->steps(); }
  const ParameterList<P>& parameters() const override { return inner_->parameters(); }

  /// Gives the model the slow weights, which the paper tests. Throws StateError where a parameter
  /// is frozen (nn::freeze); `step` does too, for it changes what the inner optimizer passes over.
  void use_slow_weights() {
    if (steps() == 0) return;
    require_unfrozen();
    // Copied: to go no step from values that are not finite would be NaN.
    for_each_pair([](std::span<P> values, std::span<P> slow) {
      std::copy(slow.begin(), slow.end(), values.begin());
    });
    values_changed();
  }

 private:
  static void require_alpha(double alpha) {
    require_setting(alpha >= 0 && alpha <= 1, "Lookahead", "alpha", alpha, "0 to 1");
  }

  void require_unfrozen() const {
    for (const auto& parameter : parameters()) parameter->require_unfrozen();
  }

  void check_step(const StepSettings& settings) const override {
    require_unfrozen();
    inner_->check(settings);
  }

  void take_step(const StepSettings& settings) override {
    require_unfrozen();
    if (steps() == 0) begin();
    inner_->step(settings);
    if (steps() % options_.k == 0) {
      const double alpha = options_.alpha_at ? options_.alpha_at(steps()) : options_.alpha;
      require_alpha(alpha);
      synchronize(alpha);
    }
  }

  void begin() {
    for_each_pair([](std::span<P> values, std::span<P> slow) {
      std::copy(values.begin(), values.end(), slow.begin());
    });
  }

  void synchronize(double alpha) {
    for_each_pair([&](std::span<P> values, std::span<P> slow) {
      kernels::lookahead_update<P>(values, slow, alpha);
    });
    values_changed();
  }

  /// Calls `f(values, slow)` for stretches of parameters and for buffers.
  template <class F>
  void for_each_pair(F f) {
    for_each_stretch(parameters(), [&](std::span<P> values, std::size_t offset) {
      f(values, slow_.span().subspan(offset, values.size()));
    });
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      f(buffers_[i].span(), slow_buffers_[i].span());
    }
  }

  void values_changed() {
    for (const auto& parameter : parameters()) ++parameter->version;
  }

  /// The inner optimizer's state, "slow.<name>" for each parameter and "slow_buffer.<i>".
  void visit(const typename Optimizer<P>::StateVisitor& f) const override {
    inner_->visit_state(f);
    std::int64_t offset = 0;
    for (const auto& parameter : parameters()) {
      f("slow." + parameter->name, Tensor<P>(slow_.buffer(), offset, parameter->value.shape()));
      offset += parameter->value.size();
    }
    for (std::size_t i = 0; i < slow_buffers_.size(); ++i) {
      f("slow_buffer." + std::to_string(i), slow_buffers_[i]);
    }
  }

  std::unique_ptr<Optimizer<P>> inner_;
  LookaheadOptions options_;
  Tensor<P> slow_;  // flat, in the order of parameters()
  std::vector<Tensor<P>> buffers_, slow_buffers_;
};

template <class Inner>
Lookahead(Inner, LookaheadOptions = {}, std::vector<Tensor<typename Inner::Element>> = {})
    -> Lookahead<typename Inner::Element>;

}  // namespace tinynet::inline TINYNET_ABI::optim
