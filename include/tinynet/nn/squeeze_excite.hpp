#pragma once

#include <tinynet/core/required.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/ops/activation.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/pool2d.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

struct SqueezeExciteOptions {
  Required<int> channels;
  int reduction = 16;  // the hidden layer has channels / reduction features, at least 1
  bool bias = true;
};

/// Scales each channel by a gate computed from all channels' means (Hu, Shen, Sun 2018). The gates
/// are computed in float whatever T is: they are few, and rounding them would scale whole channels.
template <Scalar T>
struct SqueezeExcite {
  using P = param_t<T>;
  SqueezeExciteOptions options;
  Linear<P> squeeze, excite;

  explicit SqueezeExcite(const SqueezeExciteOptions& o)
      : options(o),
        squeeze({.in = o.channels, .out = hidden(o), .bias = o.bias}),
        excite({.in = hidden(o), .out = o.channels, .bias = o.bias}) {}

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {  // [n, h, w, c] -> [n, h, w, c]
    const auto pooled = ops::cast<P>(ops::global_average_pool(x, ctx), ctx);  // [n, c]
    return ops::scale_channels(x, gate(pooled, ctx), ctx);
  }
  /// The gates of images with these channel means.
  Variable<P> gate(const Variable<P>& pooled, Context& ctx) {  // [n, c] -> [n, c]
    return ops::sigmoid(excite(ops::relu(squeeze(pooled, ctx), ctx), ctx), ctx);
  }
  void members(Members& m) {
    m("squeeze", squeeze);
    m("excite", excite);
  }

 private:
  static int hidden(const SqueezeExciteOptions& o) {
    if (o.reduction < 1) {
      throw ShapeError(
          Message("SqueezeExcite", "the reduction is at least 1").fact("came", o.reduction));
    }
    return std::max(1, o.channels / o.reduction);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
