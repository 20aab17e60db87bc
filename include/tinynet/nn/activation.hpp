#pragma once

#include <tinynet/ops/activation.hpp>

namespace tinynet::inline TINYNET_ABI::nn {

/// An elementwise formula as a layer: `Activation<float, ops::LeakyRelu>{{.slope = 0.1}}`.
template <Scalar T, class Formula>
struct Activation {
  static constexpr bool only_formula = true;  // a layer before it may compute it on the way
  Formula formula = {};

  Variable<T> operator()(Variable<T> x, Context& ctx) {
    return ops::Elementwise<Formula>{}(std::move(x), formula, ctx);
  }
};

template <Scalar T>
using Relu = Activation<T, ops::Relu>;
template <Scalar T>
using LeakyRelu = Activation<T, ops::LeakyRelu>;
template <Scalar T>
using Silu = Activation<T, ops::Silu>;
template <Scalar T>
using Gelu = Activation<T, ops::Gelu>;
template <Scalar T>
using Sigmoid = Activation<T, ops::Sigmoid>;
template <Scalar T>
using Tanh = Activation<T, ops::Tanh>;
template <Scalar T>
using HardSwish = Activation<T, ops::HardSwish>;

}  // namespace tinynet::inline TINYNET_ABI::nn
