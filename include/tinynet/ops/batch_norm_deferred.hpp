#pragma once

#include <memory>

#include <tinynet/kernels/norm_act/map.hpp>
#include <tinynet/ops/batch_norm_act.hpp>
#include <tinynet/ops/deferred.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// activation(batch_norm(x)) for convolutions, which compute it while they read x: forward, and once more for
/// the weight gradient. Nobody keeps it.
///
///     const auto y = ops::batch_norm_act_deferred<T>(x, moments, {gamma, beta, mean, var},
///                                                    ops::Relu{}, ctx);
///     const auto z = ops::conv2d<T>(y, w, {}, window, ctx);
template <Scalar T, class Formula>
Deferred<T> batch_norm_act_deferred(const Variable<T>& x,                    // [..., c]
                                    const Tensor<double>& moments,           // [2, c], or empty
                                    const BatchNormWeights<param_t<T>>& bn,  // [c]
                                    Formula activation, Context& ctx) {
  const detail::Normalization<T> norm(x.value(), moments, bn, ctx);
  const auto map = std::make_shared<const kernels::NormActMap<T>>(
      activation, norm.scale.data(), norm.shift.data(), norm.channels());
  const FusedActivation<T> f(activation);
  const Op op{.name = f.deferred_name(), .stored = false};
  return {record(ctx, op, x.value(), inputs(x, bn.gamma, bn.beta),
                 [norm, f](auto& dy, auto dx, auto dgamma, auto dbeta) {
                   detail::norm_act_backward<T>(norm, dy, f, dx, dgamma, dbeta);
                 }),
          map->map(), map};
}

}  // namespace tinynet::inline TINYNET_ABI::ops
