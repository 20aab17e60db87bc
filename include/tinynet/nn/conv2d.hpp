#pragma once

#include <cmath>

#include <tinynet/core/required.hpp>
#include <tinynet/nn/init.hpp>
#include <tinynet/nn/members.hpp>
#include <tinynet/ops/conv2d.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

struct Conv2dOptions {
  Required<int> in;   // input channels
  Required<int> out;  // output channels
  int kernel = 3;     // window side, pixels
  int stride = 1;     // pixels
  int padding = 0;    // zeros added on each side
  int dilation = 1;   // pixels between taps
  int groups = 1;     // as many as channels: DepthwiseConv2d is the faster layer
  bool bias = true;   // pointless before BatchNorm2d, whose shift does the same
  init::Init init = init::pytorch_default();
};

namespace detail {
inline void check(const Conv2dOptions& o) {
  if (o.in < 1 || o.out < 1 || o.kernel < 1) {
    throw ShapeError(Message("Conv2d", "channels and kernel are at least 1")
                         .fact("in", static_cast<int>(o.in))
                         .fact("out", static_cast<int>(o.out))
                         .fact("kernel", o.kernel));
  }
  if (o.groups < 1 || o.in % o.groups != 0 || o.out % o.groups != 0) {
    throw ShapeError(Message("Conv2d", "groups must divide the channels")
                         .fact("in", static_cast<int>(o.in))
                         .fact("out", static_cast<int>(o.out))
                         .fact("groups", o.groups));
  }
}
}  // namespace detail

/// Two-dimensional convolution, channels last: [n, h, w, in] -> [n, oh, ow, out].
template <Scalar T>
struct Conv2d {
  Conv2dOptions options;
  Parameter<param_t<T>> weight, bias;  // [out, kernel, kernel, in / groups], [out]

  explicit Conv2d(const Conv2dOptions& o) : options(o) {
    detail::check(o);
    weight = {{o.out, o.kernel, o.kernel, o.in / o.groups}, ParameterKind::weight, o.init};
    const double bound = 1 / std::sqrt(1.0 * o.in / o.groups * o.kernel * o.kernel);
    if (o.bias) bias = {{o.out}, ParameterKind::bias, init::uniform(-bound, bound)};
  }

  /// `moments`, where given: see ops::conv2d.
  Variable<T> operator()(const Variable<T>& x, Context& ctx, Tensor<double>* moments = nullptr) {
    return ops::conv2d<T>(x, weight, bias, window(), ctx, moments);
  }
  Variable<T> operator()(const ops::Deferred<T>& x, Context& ctx,
                         Tensor<double>* moments = nullptr) {
    return ops::conv2d<T>(x, weight, bias, window(), ctx, moments);
  }
  ChannelWeights<param_t<T>> channel_weights() { return {&weight, &bias}; }
  void members(Members& m) {
    m("weight", weight);
    m("bias", bias);
  }

 private:
  ops::Window window() const {
    return {.stride = options.stride,
            .padding = options.padding,
            .dilation = options.dilation,
            .groups = options.groups};
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
