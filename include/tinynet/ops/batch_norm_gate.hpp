#pragma once

#include <memory>
#include <utility>

#include <tinynet/kernels/avg_pool2d.hpp>
#include <tinynet/ops/batch_norm_act.hpp>

/// Batch normalisation of images that a gate scales before they are stored: squeeze-and-excite, whose
/// gates follow from the normalised image's own means.
///
///     const auto norm = ops::batch_norm_pool<T>(x, moments, {gamma, beta, mean, var}, ctx);
///     const auto gate = ops::sigmoid(..norm.pooled.., ctx);
///     y = ops::gate_act<T>(norm, gate, residual, ops::Relu{}, ctx);
namespace tinynet::inline TINYNET_ABI::ops {

/// A normalised image that is not stored: what it is computed from, and its mean over pixels.
template <Scalar T>
struct PooledNorm {
  struct Shared {
    detail::Normalization<T> norm;
    // What gate_act leaves for batch_norm_pool; `ds` is the gradient behind the gate.
    detail::ImageCoefficients<param_t<T>> gradient = {};
    Tensor<T> ds = {};
  };
  Variable<param_t<T>> pooled;  // [n, c]
  std::shared_ptr<Shared> shared;
};

namespace detail {
[[noreturn, gnu::cold]] inline void throw_gated_twice() {
  throw StateError(Message("gate_act", "a normalised image was gated twice")
                       .hint("each gate_act needs a batch_norm_pool of its own"));
}
}  // namespace detail

/// The first half: statistics, and the mean over pixels of batch_norm(x), one read of x. The mean of
/// a normalised image is the normalised mean.
template <Scalar T>
PooledNorm<T> batch_norm_pool(const Variable<T>& x,                    // [n, h, w, c]
                              const Tensor<double>& moments,           // [2, c], or empty
                              const BatchNormWeights<param_t<T>>& bn,  // [c]
                              Context& ctx) {
  using P = param_t<T>;
  require_axes("batch_norm_pool", x.shape(), 4, "(n, h, w, c)", where(ctx, bn.gamma));
  const auto shared = std::make_shared<typename PooledNorm<T>::Shared>(
      typename PooledNorm<T>::Shared{{x.value(), moments, bn, ctx}});
  const auto& norm = shared->norm;
  const std::int64_t n = x.shape()[0], c = norm.channels();
  Tensor<P> raw({n, c}), pooled({n, c});
  kernels::global_average_pool_forward<T, P>(raw.span(), x.value().span(), norm.rows() / n, c);
  for (std::int64_t i = 0; i < n * c; ++i) {
    pooled.data()[i] = raw.data()[i] * norm.scale.data()[i % c] + norm.shift.data()[i % c];
  }
  shared->gradient.pooled = raw;
  const auto recorded =
      record(ctx, {"batch_norm+pool"}, pooled, inputs(x, bn.gamma, bn.beta),
             [shared](const auto& dpooled, auto dx, auto dgamma, auto dbeta) {
               auto& from = shared->gradient;
               from.dpooled = dpooled;
               auto& ds = shared->ds;
               if (ds.empty()) {  // no gradient came through the gated image
                 ds = shared->norm.x;
                 from.gate = Tensor<P>::zeros(dpooled.shape());
                 from.sums = Tensor<double>::zeros({dpooled.shape()[0], 2, dpooled.shape()[1]});
               }
               detail::normalization_backward<T>(shared->norm, ds, from, {}, dx, dgamma, dbeta);
               from = {};
               ds = {};
             });
  return {recorded, shared};
}

/// The second half: activation(gate * batch_norm(x) + residual) in one pass. Backward one pass for
/// the sums that gate and statistics need, after which batch_norm_pool forms dx in another: one gate
/// for each batch_norm_pool.
template <Scalar T>
Variable<T> gate_act(const PooledNorm<T>& pooled,
                     const std::type_identity_t<Variable<param_t<T>>>& gate,  // [n, c]
                     const std::type_identity_t<Variable<T>>& residual,  // [n, h, w, c], or empty
                     FusedActivation<std::type_identity_t<T>> activation, Context& ctx) {
  using P = param_t<T>;
  const auto shared = pooled.shared;
  const auto& norm = shared->norm;
  const bool add = !residual.value().empty();
  if (add) require_same_shape("gate_act", norm.x.shape(), residual.shape(), ctx.path);
  require_same_shape("gate_act", pooled.pooled.shape(), gate.shape(), ctx.path);
  const std::int64_t n = norm.x.shape()[0], c = norm.channels();
  const kernels::NormActGeometry g{n, norm.rows() / n, c};
  Tensor<P> scale({n, c}), shift({n, c});
  for (std::int64_t i = 0; i < n * c; ++i) {
    scale.data()[i] = gate.value().data()[i] * norm.scale.data()[i % c];
    shift.data()[i] = gate.value().data()[i] * norm.shift.data()[i % c];
  }
  Tensor<T> y(norm.x.shape());
  kernels::norm_act_forward<T>({y.data(), norm.x.data(), add ? residual.value().data() : nullptr,
                                scale.data(), shift.data()},
                               activation, g);
  const auto kept = detail::kept_for(activation, y, residual.value());
  return record(
      ctx, {activation.name(true, add)}, y, inputs(pooled.pooled, gate, residual),
      [shared, activation, kept, scale, shift, gate = gate.value(), g](auto& dy, auto dpooled,
                                                                       auto dgate, auto dresidual) {
        const auto& of = shared->norm;
        auto& left = shared->gradient;
        if (!shared->ds.empty()) detail::throw_gated_twice();
        Tensor<T> arrived;  // dy where others read it too
        if (!dy.unique()) arrived = std::exchange(dy, Tensor<T>(dy.shape()));
        left.sums = Tensor<double>({g.n, 2, g.c});
        kernels::norm_act_sums<T>(left.sums.span(),
                                  {dy.data(), arrived.empty() ? dy.data() : arrived.data(),
                                   of.x.data(), kept.empty() ? nullptr : kept.data(), scale.data(),
                                   shift.data(), of.statistics.mean.data()},
                                  activation, g);
        if (dgate) {  // sum of ds * (scale * (x - mean) + beta)
          const auto to = dgate.open();
          const P *s = of.scale.data(), *t = of.shift.data();
          for (std::int64_t i = 0; i < g.n * g.c; ++i) {
            const auto ch = i % g.c;
            const double* sums = left.sums.data() + i / g.c * 2 * g.c;
            const double beta = double{t[ch]} + double{of.statistics.mean.data()[ch]} * s[ch];
            kernels::put(to.span[i], static_cast<P>(s[ch] * sums[g.c + ch] + beta * sums[ch]),
                         to.store);
          }
        }
        if (dresidual) dresidual.pass(dy);
        left.gate = gate;
        shared->ds = std::move(dy);
        if (dpooled) {  // what is left here needs batch_norm_pool to run, whatever the gate is
          const auto to = dpooled.open();
          if (to.store == Store::overwrite) std::fill(to.span.begin(), to.span.end(), P(0));
        }
      });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
