#pragma once

#include <tinynet/nn/batch_norm.hpp>
#include <tinynet/nn/conv2d.hpp>
#include <tinynet/ops/activation.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/batch_norm_deferred.hpp>
#include <tinynet/ops/batch_norm_gate.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/pool2d.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

namespace detail {
/// activation(gate * x + residual), the ops one by one; joined in inference, where normalisations may be
/// folded away.
template <Scalar T, class Formula>
Variable<T> gate_add_act(Variable<T> x, const Variable<param_t<T>>& gate,
                         const Variable<T>& residual, Formula activation, Context& ctx) {
  const bool gated = !gate.value().empty(), add = !residual.value().empty();
  if (ctx.fuse && !ctx.tape && !ctx.repeated && (gated || add)) {
    return ops::gate_add_act<T>(std::move(x), gate, residual, activation, ctx);
  }
  if (gated) x = ops::scale_channels(x, gate, ctx);
  if (add) x = ops::add(x, residual, ctx);
  if constexpr (std::is_same_v<Formula, ops::Identity>) return x;
  else return ops::Elementwise<Formula>{}(std::move(x), activation, ctx);
}
}  // namespace detail

/// activation(bn(x) + residual) in one pass; with Context::fuse off, the ops one by one. `moments` as
/// ops::conv2d gives them, `residual` as x; either may be empty.
template <Scalar T, class Formula>
Variable<T> norm_act(BatchNorm2d<T>& bn, std::type_identity_t<Variable<T>> x,
                     const Tensor<double>& moments,
                     const std::type_identity_t<Variable<T>>& residual, Formula activation,
                     Context& ctx) {
  if (ctx.fuse && bn.joins()) {
    return bn.joined(std::move(x), moments, residual, activation, ctx);
  }
  auto y = bn(x, ctx);
  x = {};  // which y is where bn was folded away
  return detail::gate_add_act<T>(std::move(y), {}, residual, activation, ctx);
}

/// activation(bn(conv(x)) + residual), for models that hold the layers under names of their own. The
/// convolution forms the sums for the statistics on the way. `conv` is any layer that can (Conv2d,
/// DepthwiseSeparableConv2d), `x` an image or a deferred one, `residual` may be empty.
///
///     y = nn::conv_norm_act<T>(conv1, bn1, x, {}, ops::Relu{}, ctx);
template <Scalar T, class Conv, class Image, class Formula>
Variable<T> conv_norm_act(Conv& conv, BatchNorm2d<T>& bn, const Image& x,
                          const std::type_identity_t<Variable<T>>& residual, Formula activation,
                          Context& ctx) {
  Tensor<double> moments;
  const bool wanted = ctx.fuse && bn.joins() && ctx.is_training();
  auto y = conv(x, ctx, wanted ? &moments : nullptr);
  return norm_act<T>(bn, std::move(y), moments, residual, activation, ctx);
}

/// activation(bn(conv(x))) for a convolution, which normalises while it reads: what `conv` gives is all that
/// is kept. Pays where one convolution reads it.
///
///     const auto y = nn::conv_norm_act_deferred<T>(conv1, bn1, x, ops::Relu{}, ctx);
///     return nn::conv_norm_act<T>(conv2, bn2, y, x, ops::Relu{}, ctx);
template <Scalar T, class Conv, class Formula>
ops::Deferred<T> conv_norm_act_deferred(Conv& conv, BatchNorm2d<T>& bn,
                                        const std::type_identity_t<Variable<T>>& x,
                                        Formula activation, Context& ctx) {
  if (!ctx.fuse || !bn.joins()) return {conv_norm_act<T>(conv, bn, x, {}, activation, ctx)};
  Tensor<double> moments;
  const auto y = conv(x, ctx, ctx.is_training() ? &moments : nullptr);
  return ops::batch_norm_act_deferred<T>(y, moments, bn.weights(), activation, ctx);
}

/// activation(gate * bn(conv(x)) + residual) with gates [n, c] from the channel means of bn(conv(x)):
/// `gate(means, ctx)`, called once. Squeeze-and-excite, and whatever drops samples or channels. With
/// Context::fuse off, the ops one by one.
template <Scalar T, class Conv, class Gate, class Image, class Formula>
Variable<T> conv_norm_gate_act(Conv& conv, BatchNorm2d<T>& bn, const Gate& gate, const Image& x,
                               const std::type_identity_t<Variable<T>>& residual,
                               Formula activation, Context& ctx) {
  if (!ctx.fuse || !bn.joins()) {
    auto y = bn(conv(x, ctx), ctx);
    const auto means = ops::cast<param_t<T>>(ops::global_average_pool(y, ctx), ctx);
    const auto gates = gate(means, ctx);
    return detail::gate_add_act<T>(std::move(y), gates, residual, activation, ctx);
  }
  Tensor<double> moments;
  const auto y = conv(x, ctx, ctx.is_training() ? &moments : nullptr);
  const auto norm = ops::batch_norm_pool<T>(y, moments, bn.weights(), ctx);
  return ops::gate_act<T>(norm, gate(norm.pooled, ctx), residual, activation, ctx);
}

/// A convolution without bias, batch normalisation and an activation, joined.
///
///     nn::ConvNormAct<float> stem({.in = 3, .out = 64, .padding = 1});
///     nn::ConvNormAct<float, ops::Silu> next({.in = 64, .out = 64, .stride = 2, .padding = 1});
struct ConvNormActOptions {
  Required<int> in;   // input channels
  Required<int> out;  // output channels
  int kernel = 3;     // window side, pixels
  int stride = 1;     // pixels
  int padding = 0;    // zeros added on each side
  int dilation = 1;   // pixels between taps
  int groups = 1;
  double momentum = 0.1, eps = 1e-5;  // of the normalisation, as BatchNorm2dOptions
  init::Init init = init::pytorch_default();
};

template <Scalar T, class Formula = ops::Relu>
struct ConvNormAct {
  ConvNormActOptions options;
  Conv2d<T> conv;
  BatchNorm2d<T> bn;
  Formula activation;

  explicit ConvNormAct(const ConvNormActOptions& o, Formula f = {})
      : options(o),
        conv({.in = o.in,
              .out = o.out,
              .kernel = o.kernel,
              .stride = o.stride,
              .padding = o.padding,
              .dilation = o.dilation,
              .groups = o.groups,
              .bias = false,
              .init = o.init}),
        bn({.channels = o.out, .momentum = o.momentum, .eps = o.eps}),
        activation(f) {}

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return conv_norm_act<T>(conv, bn, x, {}, activation, ctx);
  }
  void members(Members& m) {
    m("conv", conv);
    m("bn", bn);
  }
  ConvNormAct remake() const { return ConvNormAct(options, activation); }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
