#pragma once

#include <tinynet/kernels/cross_entropy.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/check.hpp>

/// Losses. Each returns a scalar in the type that sums are formed in, whatever the predictions are
/// stored as.
namespace tinynet::inline TINYNET_ABI::ops {

/// How the losses of a batch become one number.
enum class Reduction { mean, sum };

struct CrossEntropyOptions {
  double label_smoothing = 0;  // spread over all k classes, as PyTorch does
  Reduction reduction = Reduction::mean;
};

namespace detail {

inline void require_logits(const Shape& logits, const CrossEntropyOptions& options,
                           const Context& ctx) {
  require_axes("cross_entropy", logits, 2, "(n, classes)", ctx.path);
  require_elements("cross_entropy", logits, ctx.path);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    throw ShapeError(Message("cross_entropy", "label smoothing is between 0 and 1")
                         .fact("came", options.label_smoothing));
  }
}

/// What labels and soft targets differ in. The op around it is compiled once for both: `fit` takes
/// either.
template <Scalar T>
struct CrossEntropyTargets {
  using A = accumulate_t<T>;
  Buffer kept;  // what `data` lies in
  const void* data;
  void (*forward)(std::span<A> losses, std::span<A> probabilities, std::span<const T> logits,
                  const void* targets, std::int64_t k, A smoothing);
  void (*backward)(std::span<T> dx, Store store, std::span<const A> probabilities,
                   const void* targets, std::int64_t k, A scale, A smoothing);
};

/// Of labels, one a row, or of a share for each class.
template <Scalar T, class Given>
CrossEntropyTargets<T> cross_entropy_targets(const Tensor<Given>& given) {
  using A = accumulate_t<T>;
  using Targets = std::span<const Given>;
  constexpr bool labels = std::is_same_v<Given, std::int32_t>;
  return {given.buffer(), given.data(),
          [](std::span<A> losses, std::span<A> probabilities, std::span<const T> logits,
             const void* targets, std::int64_t k, A smoothing) {
            const Targets to(static_cast<const Given*>(targets),
                             labels ? losses.size() : logits.size());
            kernels::cross_entropy_forward<T>(losses, probabilities, logits, to, k, smoothing);
          },
          [](std::span<T> dx, Store store, std::span<const A> probabilities, const void* targets,
             std::int64_t k, A scale, A smoothing) {
            const auto rows = dx.size() / static_cast<std::size_t>(k);
            const Targets to(static_cast<const Given*>(targets), labels ? rows : dx.size());
            kernels::cross_entropy_backward<T>(dx, store, probabilities, to, k, scale, smoothing);
          }};
}

template <Scalar T>
Variable<accumulate_t<T>> cross_entropy(const Variable<T>& logits, CrossEntropyTargets<T> targets,
                                        const CrossEntropyOptions& options, Context& ctx) {
  using A = accumulate_t<T>;
  const std::int64_t n = logits.shape()[0], k = logits.shape()[1];
  const double weight = options.reduction == Reduction::mean ? 1.0 / static_cast<double>(n) : 1.0;
  const auto smoothing = static_cast<A>(options.label_smoothing);
  Tensor<A> losses({n}), probabilities({n, k});
  targets.forward(losses.span(), probabilities.span(), logits.value().span(), targets.data, k,
                  smoothing);
  const auto total = kernels::sum<A>(std::as_const(losses).span());
  return record(ctx, {"cross_entropy"}, Tensor<A>::scalar(static_cast<A>(total * weight)),
                inputs(logits),
                [k, weight, smoothing, targets, probabilities](const auto& dy, auto dx) {
                  if (!dx) return;
                  const auto to = dx.open();
                  targets.backward(to.span, to.store, probabilities.span(), targets.data, k,
                                   static_cast<A>(dy.item() * weight), smoothing);
                });
}

}  // namespace detail

/// -log softmax(logits)[label], over the batch. Throws ShapeError for a label outside of [0, k).
template <Scalar T>
Variable<accumulate_t<T>> cross_entropy(const Variable<T>& logits,           // [n, k]
                                        const Tensor<std::int32_t>& labels,  // [n]
                                        const CrossEntropyOptions& options, Context& ctx) {
  detail::require_logits(logits.shape(), options, ctx);
  const std::int64_t n = logits.shape()[0], k = logits.shape()[1];
  if (labels.shape() != Shape{n}) {
    throw ShapeError(Message("cross_entropy", "there must be one label for each row of logits")
                         .fact("logits", logits.shape(), "(n, classes)")
                         .fact("labels", labels.shape(), "(n)"));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const auto label = labels.data()[i];
    if (label >= 0 && label < k) continue;
    throw ShapeError(Message("cross_entropy", {"label ", label, " is out of range"})
                         .fact("expected", {"0 to ", k - 1})
                         .fact("at", {"row ", i, " of the batch"})
                         .hint("give the last layer as many outputs as there are classes"));
  }
  return detail::cross_entropy(logits, detail::cross_entropy_targets<T>(labels), options, ctx);
}

/// -sum_k target[k] * log softmax(logits)[k]: targets are distributions (mixup, distillation).
template <Scalar T>
Variable<accumulate_t<T>> cross_entropy(const Variable<T>& logits,          // [n, k]
                                        const Tensor<param_t<T>>& targets,  // [n, k]
                                        const CrossEntropyOptions& options, Context& ctx) {
  detail::require_logits(logits.shape(), options, ctx);
  require_same_shape("cross_entropy", logits.shape(), targets.shape(), ctx.path);
  return detail::cross_entropy(logits, detail::cross_entropy_targets<T>(targets), options, ctx);
}

namespace detail {

/// The mean of a formula of prediction and target; `df` is its derivative by the prediction.
template <Scalar T, class F, class Df>
Variable<accumulate_t<T>> mean_loss(const char* name, const Variable<T>& x,
                                    const Tensor<param_t<T>>& target, Context& ctx, F f, Df df) {
  using A = accumulate_t<T>;
  require_elements(name, x.shape(), ctx.path);
  require_same_shape(name, x.shape(), target.shape(), ctx.path);
  Tensor<A> losses(x.shape());
  kernels::transform(losses.span(), Store::overwrite, f, std::as_const(x.value()).span(),
                     target.span());
  const double weight = 1.0 / static_cast<double>(losses.size());
  const auto total = kernels::sum<A>(std::as_const(losses).span());
  return record(ctx, {name}, Tensor<A>::scalar(static_cast<A>(total * weight)), inputs(x),
                [weight, df, x = x.value(), target](const auto& dy, auto dx) {
                  if (!dx) return;
                  const auto to = dx.open();
                  const double factor = dy.item() * weight;
                  kernels::transform(
                      to.span, to.store,
                      [df, factor](auto v, auto t) { return decltype(v)(factor) * df(v, t); },
                      x.span(), target.span());
                });
}

}  // namespace detail

/// The mean of (x - target)^2.
template <Scalar T>
Variable<accumulate_t<T>> mse(const Variable<T>& x, const Tensor<param_t<T>>& target,
                              Context& ctx) {
  return detail::mean_loss(
      "mse", x, target, ctx, [](auto v, auto t) { return (v - t) * (v - t); },
      [](auto v, auto t) { return 2 * (v - t); });
}

/// The mean of -t * log sigmoid(x) - (1 - t) * log(1 - sigmoid(x)), formed so that no large |x|
/// overflows: max(x, 0) - x * t + log(1 + exp(-|x|)).
template <Scalar T>
Variable<accumulate_t<T>> bce_with_logits(const Variable<T>& x, const Tensor<param_t<T>>& target,
                                          Context& ctx) {
  return detail::mean_loss(
      "bce_with_logits", x, target, ctx,
      [](auto v, auto t) {
        using V = decltype(v);
        return simd::max(v, V(0)) - v * t + simd::log(1 + simd::exp(-simd::abs(v)));
      },
      [](auto v, auto t) { return 1 / (1 + simd::exp(-v)) - t; });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
