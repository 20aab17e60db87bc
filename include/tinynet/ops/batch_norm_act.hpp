#pragma once

#include <utility>

#include <tinynet/kernels/norm_act.hpp>
#include <tinynet/ops/batch_statistics.hpp>
#include <tinynet/ops/fused_activation.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// The parameters of a batch normalisation and its running estimates, all [c], as a layer holds them.
template <class P>
struct BatchNormWeights {
  Weight<P> gamma, beta;
  Tensor<P>& running_mean;
  Tensor<P>& running_var;
  BatchNormSettings settings = {};
};

namespace detail {

/// What a normalisation makes of each channel, whatever the type of its activations.
template <class P>
struct ChannelNorm {
  Tensor<P> gamma;
  BatchStatistics<P> statistics;
  Tensor<P> scale, shift;  // [c]: gamma * inverse_std, beta - mean * scale

  [[gnu::noinline]] ChannelNorm(const BatchNormWeights<P>& bn, BatchStatistics<P> of)
      : gamma(bn.gamma.value()),
        statistics(std::move(of)),
        scale(gamma.shape()),
        shift(gamma.shape()) {
    for (std::int64_t ch = 0; ch < gamma.size(); ++ch) {
      scale.data()[ch] = gamma.data()[ch] * statistics.inverse_std.data()[ch];
      shift.data()[ch] = bn.beta.value().data()[ch] - statistics.mean.data()[ch] * scale.data()[ch];
    }
  }
};

/// What the gradients of a normalisation read.
template <Scalar T>
struct Normalization : ChannelNorm<param_t<T>> {
  using P = param_t<T>;
  Tensor<T> x;

  Normalization(const Tensor<T>& input, const Tensor<double>& moments,
                const BatchNormWeights<P>& bn, const Context& ctx)
      : ChannelNorm<P>(bn, statistics_of(input, moments, bn, ctx)), x(input) {}

  std::int64_t channels() const { return x.shape()[-1]; }
  std::int64_t rows() const { return x.size() / channels(); }

 private:
  static BatchStatistics<P> statistics_of(const Tensor<T>& x, const Tensor<double>& moments,
                                          const BatchNormWeights<P>& bn, const Context& ctx) {
    check_batch_norm(x.shape(), bn.gamma, bn.beta, bn.running_mean, bn.running_var, ctx);
    return batch_statistics(x, moments, bn.running_mean, bn.running_var, bn.settings, ctx);
  }
};

/// What reaches the normalised image backwards, for each of n images with coefficients of its own.
template <class P>
struct ImageCoefficients {
  // [n, 2, c]: over pixels, of ds after the activation and ds * (x - mean)
  Tensor<double> sums = {};
  Tensor<P> gate = {};     // [n, c], or empty: one
  Tensor<P> dpooled = {};  // [n, c]: of the mean over pixels; or empty: zero
  Tensor<P> pooled = {};   // [n, c]: that mean of x; empty as dpooled
};

/// Coefficients of kernels::norm_act_input, [n, c] each.
template <class P>
struct InputCoefficients {
  Tensor<P> a, b, k, scale, shift;
};

/// The gradients of gamma and beta. With dn = gate * ds + dpooled / pixels:
///   dbeta = sum dn,  dgamma = sum dn * xhat.
/// Returns both sums, the latter over inverse_std: [2, c].
template <class P>
[[gnu::noinline]] Tensor<double> channel_gradients(const ChannelNorm<P>& norm,
                                                   const ImageCoefficients<P>& from,
                                                   const Gradient<P>& dgamma,
                                                   const Gradient<P>& dbeta) {
  const std::int64_t c = norm.gamma.size(), n = from.sums.size() / (2 * c);
  const P *mean = norm.statistics.mean.data(), *inverse_std = norm.statistics.inverse_std.data();
  Tensor<double> totals = Tensor<double>::zeros({2, c});
  for (std::int64_t image = 0; image < n; ++image) {
    const double* sums = from.sums.data() + image * 2 * c;
    for (std::int64_t ch = 0; ch < c; ++ch) {
      const std::int64_t at = image * c + ch;
      const double gate = from.gate.empty() ? 1 : from.gate.data()[at];
      double first = gate * sums[ch], second = gate * sums[c + ch];
      if (!from.dpooled.empty()) {
        first += from.dpooled.data()[at];
        second += double{from.dpooled.data()[at]} * (double{from.pooled.data()[at]} - mean[ch]);
      }
      totals.data()[ch] += first;
      totals.data()[c + ch] += second;
    }
  }
  if (dbeta) {
    const auto to = dbeta.open();
    for (std::int64_t ch = 0; ch < c; ++ch) {
      kernels::put(to.span[ch], static_cast<P>(totals.data()[ch]), to.store);
    }
  }
  if (dgamma) {
    const auto to = dgamma.open();
    for (std::int64_t ch = 0; ch < c; ++ch) {
      kernels::put(to.span[ch], static_cast<P>(totals.data()[c + ch] * inverse_std[ch]), to.store);
    }
  }
  return totals;
}

/// Those of the gradient of x,
///   dx = scale * (dn - dbeta / rows - xhat * dgamma / rows),
/// the last two terms only where the statistics are of the batch.
template <class P>
[[gnu::noinline]] InputCoefficients<P> input_coefficients(const ChannelNorm<P>& norm,
                                                          const ImageCoefficients<P>& from,
                                                          const Tensor<double>& totals,
                                                          std::int64_t pixels) {
  const std::int64_t c = norm.gamma.size(), n = from.sums.size() / (2 * c);
  const P *mean = norm.statistics.mean.data(), *inverse_std = norm.statistics.inverse_std.data();
  const double each = norm.statistics.of_batch ? 1 / static_cast<double>(n * pixels) : 0;
  const Shape shape{n, c};
  InputCoefficients<P> to{Tensor<P>(shape), Tensor<P>(shape), Tensor<P>(shape), Tensor<P>(shape),
                          Tensor<P>(shape)};
  for (std::int64_t at = 0; at < n * c; ++at) {
    const std::int64_t ch = at % c;
    const double s = norm.scale.data()[ch], inverse = inverse_std[ch];
    const double slope = -s * inverse * inverse * totals.data()[c + ch] * each;
    double constant = -totals.data()[ch] * each;
    if (!from.dpooled.empty()) constant += from.dpooled.data()[at] / double(pixels);
    to.scale.data()[at] = norm.scale.data()[ch];
    to.shift.data()[at] = norm.shift.data()[ch];
    to.a.data()[at] = static_cast<P>(from.gate.empty() ? s : s * from.gate.data()[at]);
    to.b.data()[at] = static_cast<P>(s * constant - slope * mean[ch]);
    to.k.data()[at] = static_cast<P>(slope);
  }
  return to;
}

/// The gradients of a normalisation's inputs; `ds` is what arrives behind the gate: dy * f'(z), or dy
/// where the activation is still to come.
template <Scalar T>
void normalization_backward(const Normalization<T>& norm, Tensor<T>& ds,
                            const ImageCoefficients<param_t<T>>& from, const FusedActivation<T>& f,
                            const Gradient<T>& dx, const Gradient<param_t<T>>& dgamma,
                            const Gradient<param_t<T>>& dbeta) {
  const auto totals = channel_gradients<param_t<T>>(norm, from, dgamma, dbeta);
  if (!dx) return;
  const std::int64_t c = norm.channels(), n = from.sums.size() / (2 * c);
  const kernels::NormActGeometry g{n, norm.rows() / n, c};
  const auto k = input_coefficients<param_t<T>>(norm, from, totals, g.pixels);
  const auto to = dx.open_over(ds);
  kernels::norm_act_input<T>({to.span.data(), to.store, ds.data(), norm.x.data(), k.scale.data(),
                              k.shift.data(), k.a.data(), k.b.data(), k.k.data()},
                             f, g);
}

/// The gradients of activation(batch_norm(x)).
template <Scalar T>
void norm_act_backward(const Normalization<T>& norm, Tensor<T>& dy, const FusedActivation<T>& f,
                       const Gradient<T>& dx, const Gradient<param_t<T>>& dgamma,
                       const Gradient<param_t<T>>& dbeta) {
  const kernels::NormActGeometry g{1, norm.rows(), norm.channels()};
  ImageCoefficients<param_t<T>> from{.sums = Tensor<double>({2, g.c})};
  kernels::norm_act_sums<T>(from.sums.span(),
                            {nullptr, dy.data(), norm.x.data(), nullptr, norm.scale.data(),
                             norm.shift.data(), norm.statistics.mean.data()},
                            f, g);
  normalization_backward<T>(norm, dy, from, f, dx, dgamma, dbeta);
}

/// What the derivative of an activation behind a sum reads.
template <Scalar T>
Tensor<T> kept_for(const FusedActivation<T>& f, const Tensor<T>& y, const Tensor<T>& residual) {
  if (residual.empty() || f.keeps() == kernels::NormActKeeps::nothing) return {};
  return f.keeps() == kernels::NormActKeeps::output ? y : residual;
}

}  // namespace detail

/// activation(batch_norm(x) + residual) in one pass over memory, or two where the sums of x's channels
/// are not known: `moments` of ops::conv2d, or empty. Backward it reads x again and stores nothing
/// that follows from x: one pass for sums, one for dx. The same function as the ops one by one,
/// without the roundings to T between them.
///
///     Tensor<double> moments;
///     auto y = ops::conv2d<T>(x, w, {}, window, ctx, &moments);
///     y = ops::batch_norm_act<T>(std::move(y), moments, {gamma, beta, mean, var}, {}, ops::Relu{},
///                                ctx);
///
/// Without a tape, and where nobody else holds x, y is written over it.
template <Scalar T>
Variable<T> batch_norm_act(Variable<T> x,                                      // [..., c]
                           const Tensor<double>& moments,                      // [2, c], or empty
                           const BatchNormWeights<param_t<T>>& bn,             // [c]
                           const std::type_identity_t<Variable<T>>& residual,  // as x, or empty
                           FusedActivation<std::type_identity_t<T>> activation, Context& ctx) {
  const bool add = !residual.value().empty();
  if (add) require_same_shape("batch_norm_act", x.shape(), residual.shape(), where(ctx, bn.gamma));
  const bool over = !ctx.tape && x.value().unique();
  const detail::Normalization<T> norm(x.value(), moments, bn, ctx);
  const kernels::NormActGeometry g{1, norm.rows(), norm.channels()};
  auto y = over ? x.value() : Tensor<T>(x.shape());
  kernels::norm_act_forward<T>({y.data(), norm.x.data(), add ? residual.value().data() : nullptr,
                                norm.scale.data(), norm.shift.data()},
                               activation, g);
  const auto kept = detail::kept_for(activation, y, residual.value());
  return record(
      ctx, {activation.name(false, add)}, y, inputs(x, bn.gamma, bn.beta, residual),
      [norm, activation, kept, add, g](auto& dy, auto dx, auto dgamma, auto dbeta, auto dresidual) {
        if (!add) {
          detail::norm_act_backward<T>(norm, dy, activation, dx, dgamma, dbeta);
          return;
        }
        detail::ImageCoefficients<param_t<T>> from{.sums = Tensor<double>({2, g.c})};
        Tensor<T> arrived;  // dy where its place is taken and others read it too
        if (!dy.unique()) arrived = std::exchange(dy, Tensor<T>(dy.shape()));
        kernels::norm_act_sums<T>(
            from.sums.span(),
            {dy.data(), arrived.empty() ? dy.data() : arrived.data(), norm.x.data(),
             kept.empty() ? nullptr : kept.data(), norm.scale.data(), norm.shift.data(),
             norm.statistics.mean.data()},
            activation, g);
        if (dresidual) dresidual.pass(dy);
        detail::normalization_backward<T>(norm, dy, from, {}, dx, dgamma, dbeta);
      });
}

/// activation(gate * x + residual) in one pass, for inference where normalisations are folded away: over
/// x where nobody else holds it. At least one of gate and residual is there. Throws StateError where a
/// tape is running: no gradient would pass.
template <Scalar T>
Variable<T> gate_add_act(
    Variable<T> x,                                           // [n, ..., c]
    const std::type_identity_t<Variable<param_t<T>>>& gate,  // [n, c], or empty
    const std::type_identity_t<Variable<T>>& residual,       // as x, or empty
    FusedActivation<std::type_identity_t<T>> activation, Context& ctx) {
  using P = param_t<T>;
  if (ctx.tape) {
    throw StateError(Message("gate_add_act", "this op has no gradient")
                         .fact("in", ctx.path)
                         .hint("with a tape call scale_channels, add and the activation"));
  }
  const bool add = !residual.value().empty(), gated = !gate.value().empty();
  require_elements("gate_add_act", x.shape(), ctx.path);
  if (gated && x.shape().axes() < 2) {
    throw ShapeError(Message("gate_add_act", "images and channels are needed where there is a gate")
                         .fact("input", x.shape(), "(n, ..., c)")
                         .fact("in", ctx.path));
  }
  const std::int64_t n = gated ? x.shape()[0] : 1, c = x.shape()[-1];
  if (add) require_same_shape("gate_add_act", x.shape(), residual.shape(), ctx.path);
  if (gated) require_same_shape("gate_add_act", Shape{n, c}, gate.shape(), ctx.path);
  const auto scale = gated ? gate.value() : Tensor<P>::ones({c});
  const auto shift = Tensor<P>::zeros({n, c});
  auto y = x.value().unique() ? x.value() : Tensor<T>(x.shape());
  kernels::norm_act_forward<T>({y.data(), x.value().data(), add ? residual.value().data() : nullptr,
                                scale.data(), shift.data()},
                               activation, {n, y.size() / (n * c), c});
  if (ctx.observer) {
    const Op op{activation.name(gated, add) + sizeof "batch_norm"};  // what follows "batch_norm+"
    tinynet::detail::observe(ctx, op, y, inputs(x, gate, residual));
  }
  return y;
}

}  // namespace tinynet::inline TINYNET_ABI::ops
