#pragma once

#include <memory>

#include <tinynet/ops/batch_norm_act.hpp>
#include <tinynet/ops/deferred.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// activation(batch_norm(x)) for convolutions that compute it while they read x: the image is neither
/// written nor kept for the backward pass, but computed once more by the weight gradient.
///
///     const auto y = ops::batch_norm_act_deferred<T>(x, moments, {gamma, beta, mean, var},
///                                                    ops::Relu{}, ctx);
///     const auto z = ops::conv2d<T>(y.x, w, {}, window, ctx, nullptr, y.map);
template <Scalar T>
Deferred<T> batch_norm_act_deferred(const Variable<T>& x,                    // [..., c]
                                    const Tensor<double>& moments,           // [2, c], or empty
                                    const BatchNormWeights<param_t<T>>& bn,  // [c]
                                    FusedActivation<std::type_identity_t<T>> activation,
                                    Context& ctx) {
  const detail::Normalization<T> norm(x.value(), moments, bn, ctx);
  const auto map = std::make_shared<const kernels::NormActMap<T>>(
      activation, norm.scale.data(), norm.shift.data(), norm.channels());
  const Op op{.name = activation.deferred_name(), .stored = false};
  return {record(ctx, op, x.value(), inputs(x, bn.gamma, bn.beta),
                 [norm, activation](auto& dy, auto dx, auto dgamma, auto dbeta) {
                   detail::norm_act_backward<T>(norm, dy, activation, dx, dgamma, dbeta);
                 }),
          {map->map(), map}};
}

}  // namespace tinynet::inline TINYNET_ABI::ops
