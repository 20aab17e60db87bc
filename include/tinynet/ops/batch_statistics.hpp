#pragma once

#include <cmath>
#include <span>

#include <tinynet/kernels/batch_norm_statistics.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

struct BatchNormSettings {
  double momentum = 0.1;  // PyTorch's: running = (1 - momentum) * running + momentum * batch
  double eps = 1e-5;
};

/// What batch normalisation normalises by: the batch's own mean and deviation in training, the
/// running ones in evaluation.
template <class P>
struct BatchStatistics {
  Tensor<P> mean, inverse_std;  // [c]
  bool of_batch = false;        // they depend on x, and gradients flow through them
};

namespace detail {

/// Requires that x and all that belongs to its channels fit, that there is something to train on, and
/// that the running estimates, which training moves, may change.
template <class P>
void check_batch_norm(const Shape& x, const Weight<P>& gamma, const Weight<P>& beta,
                      const Tensor<P>& running_mean, const Tensor<P>& running_var,
                      const Context& ctx) {
  const auto path = where(ctx, gamma);
  require_elements("batch_norm", x, path);
  const std::int64_t c = x[-1];
  for (const auto* each :
       {&gamma.shape(), &beta.shape(), &running_mean.shape(), &running_var.shape()}) {
    if (*each == Shape{c}) continue;
    throw ShapeError(
        Message("batch_norm", {"input has ", c, " channels, the layer has ", (*each)[0]})
            .fact("input", x, "(..., c)")
            .fact("in", path)
            .hint({"set BatchNorm2dOptions::channels to ", c}));
  }
  if (ctx.is_training() && x.elements() == c) {
    throw ShapeError(
        Message("batch_norm", "one value a channel has no variance to train on")
            .fact("input", x, "(..., c)")
            .fact("in", path)
            .hint("use a larger batch, or drop_last where the last batch has one image"));
  }
  if (ctx.is_training() && !ctx.recompute && gamma.state() && gamma.state()->frozen) {
    throw StateError(
        Message("batch_norm", "training would move the running statistics of a frozen model")
            .fact("in", path)
            .hint("run it with Context::evaluation(), or call nn::unfreeze(model) once no other "
                  "thread runs it"));
  }
}

/// Mean and variance from sums of x and of its square [2, c]. False where that would cost more than
/// eight bits: where a mean is above 16 deviations.
template <class P>
bool moments_to_statistics(std::span<P> mean, std::span<P> variance, std::span<const double> sums,
                           std::int64_t rows, double eps) {
  const std::int64_t c = std::ssize(mean);
  for (std::int64_t ch = 0; ch < c; ++ch) {
    const double m = sums[ch] / static_cast<double>(rows), square = m * m;
    const double v = std::max(sums[c + ch] / static_cast<double>(rows) - square, 0.0);
    if (!(square <= 256 * (v + eps))) return false;
    mean[ch] = static_cast<P>(m);
    variance[ch] = static_cast<P>(v);
  }
  return true;
}

}  // namespace detail

/// The statistics for x, whose channels have the sums `moments` [2, c] where those are known (a
/// convolution that was asked for them). Training moves the running estimates towards the batch's,
/// the variance unbiased as in PyTorch, unless this is a recomputation.
template <Scalar T>
BatchStatistics<param_t<T>> batch_statistics(const Tensor<T>& x, const Tensor<double>& moments,
                                             Tensor<param_t<T>>& running_mean,
                                             Tensor<param_t<T>>& running_var,
                                             BatchNormSettings settings, const Context& ctx) {
  using P = param_t<T>;
  const std::int64_t c = x.shape()[-1], rows = x.size() / c;
  if (!moments.empty() && moments.shape() != Shape{2, c}) {
    throw ShapeError(
        Message("batch_norm", "the moments are those of another tensor")
            .fact("input", x.shape(), "(..., c)")
            .fact("moments", moments.shape(), "(2, c)")
            .fact("in", ctx.path)
            .hint("hand on those of the convolution whose output is normalised, or none"));
  }
  BatchStatistics<P> statistics{running_mean, Tensor<P>({c}), ctx.is_training()};
  Tensor<P> variance = running_var;
  if (statistics.of_batch) {
    auto& mean = statistics.mean = Tensor<P>({c});
    variance = Tensor<P>({c});
    if (moments.empty() || !detail::moments_to_statistics(mean.span(), variance.span(),
                                                          moments.span(), rows, settings.eps)) {
      kernels::batch_norm_statistics<T>(mean.span(), variance.span(), x.span(), c);
    }
  } else if (ctx.tape) {  // the running estimate may move before the backward pass
    statistics.mean = running_mean.clone();
  }
  for (std::int64_t i = 0; i < c; ++i) {
    statistics.inverse_std.data()[i] =
        static_cast<P>(1 / std::sqrt(variance.data()[i] + settings.eps));
  }
  if (statistics.of_batch && !ctx.recompute) {
    const double unbias = static_cast<double>(rows) / static_cast<double>(rows - 1);
    const auto move = [&](Tensor<P>& running, const Tensor<P>& batch, double factor) {
      for (std::int64_t i = 0; i < c; ++i) {
        auto& r = running.data()[i];
        r = static_cast<P>((1 - settings.momentum) * r +
                           settings.momentum * factor * batch.data()[i]);
      }
    };
    move(running_mean, statistics.mean, 1);
    move(running_var, variance, unbias);
  }
  return statistics;
}

}  // namespace tinynet::inline TINYNET_ABI::ops
