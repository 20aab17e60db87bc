#pragma once

#include <tinynet/nn/conv2d.hpp>
#include <tinynet/ops/depthwise_conv2d.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

struct DepthwiseConv2dOptions {
  Required<int> channels;
  int kernel = 3;    // window side, pixels
  int stride = 1;    // pixels
  int padding = 1;   // zeros added on each side
  int dilation = 1;  // pixels between taps
  bool bias = false;
  init::Init init = init::pytorch_default();
};

/// A convolution that filters each channel by its own window: [n, h, w, c] -> [n, oh, ow, c].
template <Scalar T>
struct DepthwiseConv2d {
  DepthwiseConv2dOptions options;
  Parameter<param_t<T>> weight, bias;  // [c, kernel, kernel, 1], [c]

  explicit DepthwiseConv2d(const DepthwiseConv2dOptions& o) : options(o) {
    if (o.channels < 1 || o.kernel < 1) {
      throw ShapeError(Message("DepthwiseConv2d", "channels and kernel are at least 1")
                           .fact("channels", static_cast<int>(o.channels))
                           .fact("kernel", o.kernel));
    }
    weight = {{o.channels, o.kernel, o.kernel, 1}, ParameterKind::weight, o.init};
    const double bound = 1.0 / o.kernel;
    if (o.bias) bias = {{o.channels}, ParameterKind::bias, init::uniform(-bound, bound)};
  }

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::depthwise_conv2d<T>(x, weight, bias, window(), ctx);
  }
  Variable<T> operator()(const ops::Deferred<T>& x, Context& ctx) {
    return ops::depthwise_conv2d<T>(x, weight, bias, window(), ctx);
  }
  ChannelWeights<param_t<T>> channel_weights() { return {&weight, &bias}; }
  void members(Members& m) {
    m("weight", weight);
    m("bias", bias);
  }

 private:
  ops::Window window() const {
    return {.stride = options.stride, .padding = options.padding, .dilation = options.dilation};
  }
};

struct DepthwiseSeparableOptions {
  Required<int> in;   // input channels
  Required<int> out;  // output channels
  int kernel = 3;
  int stride = 1;
  init::Init init = init::pytorch_default();
};

/// A depthwise window and a 1x1 convolution that mixes the channels, neither with bias (Howard et
/// al., MobileNets, 2017): kernel^2 * in + in * out weights where a plain convolution has
/// kernel^2 * in * out. Nothing stands between the two; normalisation follows outside.
template <Scalar T>
struct DepthwiseSeparableConv2d {
  DepthwiseSeparableOptions options;
  DepthwiseConv2d<T> depthwise;
  Conv2d<T> pointwise;

  explicit DepthwiseSeparableConv2d(const DepthwiseSeparableOptions& o)
      : options(o),
        depthwise({.channels = o.in,
                   .kernel = o.kernel,
                   .stride = o.stride,
                   .padding = o.kernel / 2,
                   .init = o.init}),
        pointwise({.in = o.in, .out = o.out, .kernel = 1, .bias = false, .init = o.init}) {}

  /// `moments`, where given: see ops::conv2d.
  Variable<T> operator()(const Variable<T>& x, Context& ctx, Tensor<double>* moments = nullptr) {
    return pointwise(depthwise(x, ctx), ctx, moments);
  }
  Variable<T> operator()(const ops::Deferred<T>& x, Context& ctx,
                         Tensor<double>* moments = nullptr) {
    return pointwise(depthwise(x, ctx), ctx, moments);
  }
  void members(Members& m) {
    m("depthwise", depthwise);
    m("pointwise", pointwise);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
