#pragma once

#include <cmath>

#include <tinynet/core/required.hpp>
#include <tinynet/nn/init.hpp>
#include <tinynet/nn/members.hpp>
#include <tinynet/ops/linear.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

struct LinearOptions {
  Required<int> in;   // features
  Required<int> out;  // features
  bool bias = true;
  init::Init init = init::pytorch_default();
};

/// y = x * weight^T + bias: [n, in] -> [n, out].
template <Scalar T>
struct Linear {
  LinearOptions options;
  Parameter<param_t<T>> weight, bias;  // [out, in], [out]

  explicit Linear(const LinearOptions& o) : options(o) {
    if (o.in < 1 || o.out < 1) {
      throw ShapeError(Message("Linear", "features are at least 1")
                           .fact("in", static_cast<int>(o.in))
                           .fact("out", static_cast<int>(o.out)));
    }
    weight = {{o.out, o.in}, ParameterKind::weight, o.init};
    const double bound = 1 / std::sqrt(double{1.0 * o.in});
    if (o.bias) bias = {{o.out}, ParameterKind::bias, init::uniform(-bound, bound)};
  }

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::linear<T>(x, weight, bias, ctx);
  }
  ChannelWeights<param_t<T>> channel_weights() { return {&weight, &bias}; }
  void members(Members& m) {
    m("weight", weight);
    m("bias", bias);
  }
};

}  // namespace tinynet::inline TINYNET_ABI::nn
