#pragma once

#include <tinynet/kernels/batch_norm.hpp>
#include <tinynet/ops/batch_statistics.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

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
  detail::check_batch_norm(x.shape(), gamma, beta, running_mean, running_var, ctx);
  const std::int64_t c = x.shape()[-1];
  const auto statistics =
      batch_statistics(x.value(), Tensor<double>(), running_mean, running_var, settings, ctx);
  Tensor<T> y(x.shape());
  kernels::batch_norm_normalize<T>(y.span(), x.value().span(), statistics.mean.span(),
                                   statistics.inverse_std.span(), gamma.span(), beta.span(), c);
  return record(ctx, {"batch_norm"}, y, inputs(x, gamma, beta),
                [c, x = x.value(), gamma = gamma.value(), statistics](auto& dy, auto dx,
                                                                      auto dgamma, auto dbeta) {
                  Tensor<P> gamma_gradient({c}), beta_gradient({c});
                  const auto to = dx ? dx.open_over(dy) : Destination<T>{{}, Store::overwrite};
                  const auto backward = statistics.of_batch ? kernels::batch_norm_backward<T>
                                                            : kernels::batch_norm_backward_eval<T>;
                  backward(to.span, to.store, gamma_gradient.span(), beta_gradient.span(),
                           Store::overwrite, dy.span(), x.span(), statistics.mean.span(),
                           statistics.inverse_std.span(), gamma.span(), c);
                  if (dgamma) dgamma.pass(gamma_gradient);
                  if (dbeta) dbeta.pass(beta_gradient);
                });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
