#pragma once

#include <cmath>

#include <tinynet/kernels/batch_norm.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

struct BatchNormSettings {
  double momentum = 0.1;  // PyTorch's: running = (1 - momentum) * running + momentum * batch
  double eps = 1e-5;
};

/// Batch normalisation (Ioffe, Szegedy 2015) over all axes but the last:
///   y = gamma * (x - mean) / sqrt(variance + eps) + beta
/// Training: mean and (biased) variance of this batch, and the running estimates move towards them,
/// the variance unbiased as in PyTorch. Evaluation: the running estimates.
/// Throws ShapeError where training has but one value a channel.
template <Scalar T>
Variable<T> batch_norm(const Variable<T>& x,              // [..., c]
                       const Weight<param_t<T>>& gamma,   // [c]
                       const Weight<param_t<T>>& beta,    // [c]
                       Tensor<param_t<T>>& running_mean,  // [c]
                       Tensor<param_t<T>>& running_var,   // [c]
                       BatchNormSettings settings, Context& ctx) {
  using P = param_t<T>;
  const auto path = where(ctx, gamma);
  require_elements("batch_norm", x.shape(), path);
  const std::int64_t c = x.shape()[-1], rows = x.value().size() / c;
  for (const auto* each :
       {&gamma.shape(), &beta.shape(), &running_mean.shape(), &running_var.shape()}) {
    if (*each == Shape{c}) continue;
    throw ShapeError(
        Message("batch_norm", {"input has ", c, " channels, the layer has ", (*each)[0]})
            .fact("input", x.shape(), "(..., c)")
            .fact("in", path)
            .hint({"set BatchNorm2dOptions::channels to ", c}));
  }
  const bool training = ctx.is_training();
  if (training && rows == 1) {
    throw ShapeError(
        Message("batch_norm", "one value a channel has no variance to train on")
            .fact("input", x.shape(), "(..., c)")
            .fact("in", path)
            .hint("use a larger batch, or drop_last where the last batch has one image"));
  }

  Tensor<P> mean = running_mean, inverse_std({c});
  if (training) {
    mean = Tensor<P>({c});
    Tensor<P> variance({c});
    kernels::batch_norm_statistics<T>(mean.span(), variance.span(), x.value().span(), c);
    for (std::int64_t i = 0; i < c; ++i) {
      inverse_std.data()[i] = static_cast<P>(1 / std::sqrt(variance.data()[i] + settings.eps));
    }
    if (!ctx.recompute) {
      const double unbias = static_cast<double>(rows) / static_cast<double>(rows - 1);
      const auto move = [&](Tensor<P>& running, const Tensor<P>& batch, double factor) {
        for (std::int64_t i = 0; i < c; ++i) {
          auto& r = running.data()[i];
          r = static_cast<P>((1 - settings.momentum) * r +
                             settings.momentum * factor * batch.data()[i]);
        }
      };
      move(running_mean, mean, 1);
      move(running_var, variance, unbias);
    }
  } else {
    for (std::int64_t i = 0; i < c; ++i) {
      inverse_std.data()[i] = static_cast<P>(1 / std::sqrt(running_var.data()[i] + settings.eps));
    }
    if (ctx.tape) mean = mean.clone();  // the running estimate may move before the backward pass
  }

  Tensor<T> y(x.shape());
  kernels::batch_norm_normalize<T>(y.span(), x.value().span(), std::as_const(mean).span(),
                                   std::as_const(inverse_std).span(), gamma.span(), beta.span(), c);
  return record(ctx, {"batch_norm"}, y, inputs(x, gamma, beta),
                [c, training, x = x.value(), gamma = gamma.value(), mean, inverse_std](
                    const auto& dy, auto dx, auto dgamma, auto dbeta) {
                  Tensor<P> gamma_gradient({c}), beta_gradient({c});
                  const auto to = dx ? dx.open() : Destination<T>{{}, Store::overwrite};
                  const auto backward = training ? kernels::batch_norm_backward<T>
                                                 : kernels::batch_norm_backward_eval<T>;
                  backward(to.span, to.store, gamma_gradient.span(), beta_gradient.span(),
                           Store::overwrite, dy.span(), x.span(), mean.span(), inverse_std.span(),
                           gamma.span(), c);
                  if (dgamma) dgamma.pass(gamma_gradient);
                  if (dbeta) dbeta.pass(beta_gradient);
                });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
