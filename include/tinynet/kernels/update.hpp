#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tinynet/kernels/loops.hpp>

/// Optimizer updates: one pass over flat buffers. The order of operations is PyTorch 1.13's.
namespace tinynet::inline TINYNET_ABI::kernels {

struct SgdSettings {
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool first_step = false;  // the momentum buffer starts as the first gradient, not dampened
};

struct AdamSettings {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  std::int64_t step = 1;  // counted from 1
};

/// The formulas, for scalars and registers alike.
template <class P>
struct SgdStep {
  P lr, momentum, undamped, weight_decay;
  bool nesterov, first_step;

  explicit SgdStep(const SgdSettings& s)
      : lr(static_cast<P>(s.lr)), momentum(static_cast<P>(s.momentum)),
        undamped(static_cast<P>(1 - s.dampening)), weight_decay(static_cast<P>(s.weight_decay)),
        nesterov(s.nesterov), first_step(s.first_step) {}

  template <class X>
  void operator()(X& value, const X& gradient) const {
    value = value - lr * (gradient + weight_decay * value);
  }
  template <class X>
  void operator()(X& value, const X& gradient, X& velocity) const {
    const X g = gradient + weight_decay * value;
    velocity = first_step ? g : X(momentum * velocity + undamped * g);
    value = value - lr * (nesterov ? X(g + momentum * velocity) : velocity);
  }
};

/// `penalty` of the values is added to the gradient (Adam), `decay` shrinks them (AdamW); the other
/// is zero, which costs nothing beside the memory that a step waits for.
template <class P>
struct AdamStep {
  P penalty, keep, beta1, beta2, rest1, rest2, eps, step_size, root_scale;

  AdamStep(const AdamSettings& s, double l2_penalty, double decay)
      : penalty(static_cast<P>(l2_penalty)), keep(static_cast<P>(1 - s.lr * decay)),
        beta1(static_cast<P>(s.beta1)), beta2(static_cast<P>(s.beta2)),
        rest1(static_cast<P>(1 - s.beta1)), rest2(static_cast<P>(1 - s.beta2)),
        eps(static_cast<P>(s.eps)),
        step_size(static_cast<P>(s.lr / (1 - std::pow(s.beta1, double(s.step))))),
        root_scale(static_cast<P>(1 / std::sqrt(1 - std::pow(s.beta2, double(s.step))))) {}

  template <class X>
  void operator()(X& value, const X& gradient, X& m, X& v) const {
    const X g = gradient + penalty * value;
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * g * g;
    value = keep * value - step_size * (m / (simd::sqrt(v) * root_scale + eps));
  }
};

template <class P>
struct EmaStep {
  P decay, rest;

  explicit EmaStep(double d) : decay(static_cast<P>(d)), rest(static_cast<P>(1 - d)) {}
  template <class X>
  void operator()(X& average, const X& value) const {
    average = decay * average + rest * value;
  }
};

template <class P>
struct LookaheadStep {
  P alpha;

  template <class X>
  void operator()(X& fast, X& slow) const {
    slow = slow + alpha * (fast - slow);
    fast = slow;
  }
};

template <class P>
struct ScaleStep {
  P factor;

  template <class X>
  void operator()(X& value) const {
    value = value * factor;
  }
};

namespace reference {

template <class P, class Step, class... Buffers>
void update(Range range, const Step& step, Buffers*... buffers) {
  for (std::int64_t i = range.begin; i < range.end; ++i) step(buffers[i]...);
}

}  // namespace reference

namespace vectors {

/// Loads a register of each buffer, steps, and stores those that are not const.
template <class Step, class Lanes, class... Buffers>
void update_register(const Step& step, Lanes lanes, Buffers*... p) {
  const auto write = [&](auto* destination, const auto& x) {
    if constexpr (!std::is_const_v<std::remove_pointer_t<decltype(destination)>>) {
      lanes.store(destination, x);
    }
  };
  [&](auto... x) {
    step(x...);
    (write(p, x), ...);
  }(lanes.load(p)...);
}

template <class P, class Step, class... Buffers>
void update(Range range, const Step& step, Buffers*... buffers) {
  for_lanes<P>(range.size(), [&](std::int64_t i, auto lanes) {
    update_register(step, lanes, (buffers + range.begin + i)...);
  });
}

}  // namespace vectors

/// Applies a step to every element of some buffers of `size` elements.
template <class P, class Step, class... Buffers>
void update(const char* kernel, std::int64_t size, const Step& step, Buffers*... buffers) {
  const auto run = simd_or_reference(kernel, vectors::update<P, Step, Buffers...>,
                                     reference::update<P, Step, Buffers...>);
  parallel_ranges(size, grain, [&](Range range) { run(range, step, buffers...); });
}

/// One step of stochastic gradient descent. `momentum_buffer` is empty where there is no momentum.
template <class P>
void sgd_update(std::span<P> values, std::span<const P> gradients, std::span<P> momentum_buffer,
                const SgdSettings& settings) {
  const SgdStep<P> step(settings);
  if (momentum_buffer.empty()) {
    update<P>("sgd_update", std::ssize(values), step, values.data(), gradients.data());
  } else {
    update<P>("sgd_update", std::ssize(values), step, values.data(), gradients.data(),
              momentum_buffer.data());
  }
}

/// One step of Adam (Kingma and Ba 2015), its weight decay a penalty in the gradient; m and v are
/// the running moments of the gradient, zero before step 1.
template <class P>
void adam_update(std::span<P> values, std::span<const P> gradients, std::span<P> m, std::span<P> v,
                 const AdamSettings& settings) {
  update<P>("adam_update", std::ssize(values), AdamStep<P>(settings, settings.weight_decay, 0),
            values.data(), gradients.data(), m.data(), v.data());
}

/// The same with decoupled weight decay (Loshchilov and Hutter 2019).
template <class P>
void adamw_update(std::span<P> values, std::span<const P> gradients, std::span<P> m, std::span<P> v,
                  const AdamSettings& settings) {
  update<P>("adamw_update", std::ssize(values), AdamStep<P>(settings, 0, settings.weight_decay),
            values.data(), gradients.data(), m.data(), v.data());
}

/// average = decay * average + (1 - decay) * values.
template <class P>
void ema_update(std::span<P> average, std::span<const P> values, double decay) {
  update<P>("ema_update", std::ssize(average), EmaStep<P>(decay), average.data(), values.data());
}

/// slow += alpha * (fast - slow); fast = slow.
template <class P>
void lookahead_update(std::span<P> fast, std::span<P> slow, double alpha) {
  update<P>("lookahead_update", std::ssize(fast), LookaheadStep<P>{static_cast<P>(alpha)},
            fast.data(), slow.data());
}

/// x *= factor.
template <class P>
void scale(std::span<P> x, P factor) {
  update<P>("scale", std::ssize(x), ScaleStep<P>{factor}, x.data());
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
