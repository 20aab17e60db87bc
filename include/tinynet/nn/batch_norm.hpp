#pragma once

#include <cmath>

#include <tinynet/core/required.hpp>
#include <tinynet/nn/init.hpp>
#include <tinynet/nn/members.hpp>
#include <tinynet/ops/batch_norm.hpp>
#include <tinynet/ops/batch_norm_act.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

struct BatchNorm2dOptions {
  Required<int> channels;
  double momentum = 0.1;  // PyTorch's: the share of the new batch in the running estimate
  double eps = 1e-5;
};

/// Batch normalisation of images [n, h, w, c], and of anything whose last axis is the channel.
template <Scalar T>
struct BatchNorm2d {
  using P = param_t<T>;
  BatchNorm2dOptions options;
  Parameter<P> weight, bias;            // gamma and beta, [c]
  Tensor<P> running_mean, running_var;  // [c]
  bool folded = false;  // the layer before computes this one too, and it lists nothing

  explicit BatchNorm2d(const BatchNorm2dOptions& o)
      : options(o),
        weight({o.channels}, ParameterKind::norm_scale, init::constant(1)),
        bias({o.channels}, ParameterKind::norm_shift, init::constant(0)),
        running_mean(Tensor<P>::zeros({o.channels})),
        running_var(Tensor<P>::ones({o.channels})) {}

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    if (folded) {
      if (ctx.is_training()) {
        throw_folded(ctx.path, "train the model itself, and fold a copy: nn::clone(model)");
      }
      return x;
    }
    return ops::batch_norm<T>(x, weight, bias, running_mean, running_var, settings(), ctx);
  }
  /// Whether `joined` may be called: there is nothing to join once this layer is folded away.
  bool joins() const { return !folded; }
  /// activation(batch_norm(x) + residual) in one pass; `moments` as ops::conv2d gives them, or empty.
  Variable<T> joined(Variable<T> x, const Tensor<double>& moments, const Variable<T>& residual,
                     const ops::FusedActivation<T>& activation, Context& ctx) {
    return ops::batch_norm_act<T>(std::move(x), moments, weights(), residual, activation, ctx);
  }
  /// What ops that join it with its neighbours take: only where `joins()`, else StateError.
  ops::BatchNormWeights<P> weights() {
    if (folded)
      throw_folded("", "where joins() is false call the layer itself, which is the identity");
    return {weight, bias, running_mean, running_var, settings()};
  }
  /// What this layer does in evaluation.
  ChannelMap channel_map() const {
    const Shape shape{options.channels};
    ChannelMap map{Tensor<double>(shape), Tensor<double>(shape)};
    for (std::int64_t i = 0; i < options.channels; ++i) {
      const double scale =
          weight.value().data()[i] / std::sqrt(running_var.data()[i] + options.eps);
      map.scale.data()[i] = scale;
      map.shift.data()[i] = bias.value().data()[i] - running_mean.data()[i] * scale;
    }
    return map;
  }
  void members(Members& m) {
    if (folded) return;
    m("weight", weight);
    m("bias", bias);
    m("running_mean", running_mean);
    m("running_var", running_var);
  }

 private:
  [[noreturn, gnu::cold]] void throw_folded(const std::string& path, const char* way_out) const {
    const auto layer = layer_of(weight.name());
    throw StateError(Message("batch_norm", "this layer was folded into the convolution before it")
                         .fact("in", layer.empty() ? path : layer)
                         .hint(way_out));
  }
  ops::BatchNormSettings settings() const {
    return {.momentum = options.momentum, .eps = options.eps};
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
