#pragma once

#include <tinynet/core/simd.hpp>
#include <tinynet/ops/elementwise.hpp>

/// Activations. To add one: a struct here, and a line in tests/cases.hpp.
namespace tinynet::inline TINYNET_ABI::ops {

/// max(x, 0); the derivative at 0 is 0. NaN stays NaN.
struct Relu {
  static constexpr auto name = "relu";
  static constexpr auto keeps = Keeps::output;
  auto f(auto x) const { return simd::select(x <= decltype(x)(0), decltype(x)(0), x); }
  auto df(auto y) const { return simd::select(y > decltype(y)(0), decltype(y)(1), decltype(y)(0)); }
};
inline constexpr Elementwise<Relu> relu;

/// x for positive x, slope * x for the others.
struct LeakyRelu {
  double slope = 0.01;
  static constexpr auto name = "leaky_relu";
  static constexpr auto keeps = Keeps::input;
  auto f(auto x) const { return x * df(x); }
  auto df(auto x) const {
    return simd::select(x > decltype(x)(0), decltype(x)(1), decltype(x)(slope));
  }
};
inline constexpr Elementwise<LeakyRelu> leaky_relu;

/// 1 / (1 + exp(-x))
struct Sigmoid {
  static constexpr auto name = "sigmoid";
  static constexpr auto keeps = Keeps::output;
  auto f(auto x) const { return 1 / (1 + simd::exp(-x)); }
  auto df(auto y) const { return y * (1 - y); }
};
inline constexpr Elementwise<Sigmoid> sigmoid;

struct Tanh {
  static constexpr auto name = "tanh";
  static constexpr auto keeps = Keeps::output;
  auto f(auto x) const { return simd::tanh(x); }
  auto df(auto y) const { return 1 - y * y; }
};
inline constexpr Elementwise<Tanh> tanh;

/// x * sigmoid(x), also called swish.
struct Silu {
  static constexpr auto name = "silu";
  static constexpr auto keeps = Keeps::input;
  auto f(auto x) const { return x / (1 + simd::exp(-x)); }
  auto df(auto x) const {
    const auto s = 1 / (1 + simd::exp(-x));
    return s * (1 + x * (1 - s));
  }
};
inline constexpr Elementwise<Silu> silu;

/// x * Phi(x), with the normal distribution function itself, not its tanh approximation.
struct Gelu {
  static constexpr auto name = "gelu";
  static constexpr auto keeps = Keeps::input;
  auto f(auto x) const { return x * simd::normal_cdf(x); }
  auto df(auto x) const {
    const auto density = decltype(x)(inv_sqrt_2pi) * simd::exp(decltype(x)(-0.5) * x * x);
    return simd::normal_cdf(x) + x * density;
  }

 private:
  static constexpr double inv_sqrt_2pi = 0.39894228040143267794;
};
inline constexpr Elementwise<Gelu> gelu;

/// x * clamp(x + 3, 0, 6) / 6 (Howard et al., MobileNetV3, 2019).
struct HardSwish {
  static constexpr auto name = "hard_swish";
  static constexpr auto keeps = Keeps::input;
  auto f(auto x) const {
    using X = decltype(x);
    return x * simd::min(simd::max(x + X(3), X(0)), X(6)) / X(6);
  }
  auto df(auto x) const {
    using X = decltype(x);
    const auto inner = simd::select(x < X(3), x / X(3) + X(0.5), X(1));
    return simd::select(x > X(-3), inner, X(0));
  }
};
inline constexpr Elementwise<HardSwish> hard_swish;

}  // namespace tinynet::inline TINYNET_ABI::ops
