#pragma once

#include <tinynet/kernels/update.hpp>

/// The update of RMSprop (Tieleman and Hinton 2012), in PyTorch's order of operations.
namespace tinynet::inline TINYNET_ABI::kernels {

struct RmsPropSettings {
  double lr = 0;
  double alpha = 0.99;
  double eps = 1e-8;
  double momentum = 0;
  double weight_decay = 0;
};

/// Calls differ in what is kept beside the mean of the squares: a momentum, a mean, or both.
template <class P>
struct RmsPropStep {
  P lr, alpha, rest, eps, momentum, weight_decay;
  bool centered;

  RmsPropStep(const RmsPropSettings& s, bool is_centered)
      : lr(static_cast<P>(s.lr)),
        alpha(static_cast<P>(s.alpha)),
        rest(static_cast<P>(1 - s.alpha)),
        eps(static_cast<P>(s.eps)),
        momentum(static_cast<P>(s.momentum)),
        weight_decay(static_cast<P>(s.weight_decay)),
        centered(is_centered) {}

  template <class X>
  void operator()(X& value, const X& gradient, X& squares) const {
    const X g = accumulate(value, gradient, squares);
    value = value - lr * (g / (simd::sqrt(squares) + eps));
  }
  template <class X>
  void operator()(X& value, const X& gradient, X& squares, X& other) const {
    const X g = accumulate(value, gradient, squares);
    if (centered) {
      value = value - lr * (g / deviation(g, squares, other));
    } else {
      other = momentum * other + g / (simd::sqrt(squares) + eps);
      value = value - lr * other;
    }
  }
  template <class X>
  void operator()(X& value, const X& gradient, X& squares, X& velocity, X& mean) const {
    const X g = accumulate(value, gradient, squares);
    velocity = momentum * velocity + g / deviation(g, squares, mean);
    value = value - lr * velocity;
  }

 private:
  template <class X>
  X accumulate(const X& value, const X& gradient, X& squares) const {
    const X g = gradient + weight_decay * value;
    squares = alpha * squares + rest * g * g;
    return g;
  }
  /// Rounding can make the variance negative where all gradients were alike.
  template <class X>
  X deviation(const X& g, const X& squares, X& mean) const {
    mean = alpha * mean + rest * g;
    return simd::sqrt(simd::max(X(squares - mean * mean), X(P(0)))) + eps;
  }
};

/// One step of RMSprop. `squares` is the running mean of the gradient's square; `velocity` is empty
/// where there is no momentum, `mean`, the running mean of the gradient, where it is not centered.
template <class P>
void rmsprop_update(std::span<P> values, std::span<const P> gradients, std::span<P> squares,
                    std::span<P> velocity, std::span<P> mean, const RmsPropSettings& settings) {
  const RmsPropStep<P> step(settings, !mean.empty());
  const auto run = [&](auto*... more) {
    update<P>("rmsprop_update", std::ssize(values), step, values.data(), gradients.data(),
              squares.data(), more...);
  };
  if (velocity.empty() && mean.empty()) return run();
  if (mean.empty()) return run(velocity.data());
  if (velocity.empty()) return run(mean.data());
  run(velocity.data(), mean.data());
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
