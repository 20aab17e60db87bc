#pragma once

#include <tinynet/kernels/update.hpp>

/// The update of Lion: symbolic discovery of optimization algorithms (Chen et al. 2023).
namespace tinynet::inline TINYNET_ABI::kernels {

struct LionSettings {
  double lr = 0;
  double beta1 = 0.9;   // of what is stepped along
  double beta2 = 0.99;  // of what is kept
  double weight_decay = 0;
};

template <class P>
struct LionStep {
  P lr, keep, beta1, beta2, rest1, rest2;

  explicit LionStep(const LionSettings& s)
      : lr(static_cast<P>(s.lr)),
        keep(static_cast<P>(1 - s.lr * s.weight_decay)),
        beta1(static_cast<P>(s.beta1)),
        beta2(static_cast<P>(s.beta2)),
        rest1(static_cast<P>(1 - s.beta1)),
        rest2(static_cast<P>(1 - s.beta2)) {}

  template <class X>
  void operator()(X& value, const X& gradient, X& m) const {
    const X c = beta1 * m + rest1 * gradient;
    // 0 * c: a zero stays where it is, a NaN is seen.
    const X step = simd::select(c > P(0), X(lr), simd::select(c < P(0), X(-lr), X(P(0) * c)));
    value = keep * value - step;
    m = beta2 * m + rest2 * gradient;
  }
};

/// One step of Lion: along the sign of the averaged gradient. m is zero before the first.
template <class P>
void lion_update(std::span<P> values, std::span<const P> gradients, std::span<P> m,
                 const LionSettings& settings) {
  update<P>("lion_update", std::ssize(values), LionStep<P>(settings), values.data(),
            gradients.data(), m.data());
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
