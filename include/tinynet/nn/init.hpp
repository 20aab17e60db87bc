#pragma once

#include <algorithm>
#include <cmath>

#include <tinynet/autograd/parameter.hpp>

/// How parameters begin.
namespace tinynet::inline TINYNET_ABI::nn::init {

/// A rule for first values. Weights are [out, ..., in]: fan-in is the number of products a sum has,
/// fan-out that of the sums an input takes part in, as PyTorch counts them.
struct Init {
  enum class Law { constant, uniform, normal } law = Law::constant;
  enum class Scale { fixed, fan_in, fan_out, fan_average } scale = Scale::fixed;
  double mean = 0;
  double spread = 0;  // uniform: half width, normal: deviation; divided by sqrt(fan) unless fixed
  bool dirac = false;  // then the first filters hand on one input channel each

  template <class P>
  void operator()(Tensor<P>& tensor, random::Key key) const {
    const auto& shape = tensor.shape();
    const auto size = static_cast<double>(tensor.size());
    const double fan_in = shape.axes() > 1 ? size / static_cast<double>(shape[0]) : 1;
    const double fan_out = shape.axes() > 1 ? size / static_cast<double>(shape[-1]) : 1;
    double width = spread;
    if (scale == Scale::fan_in) width /= std::sqrt(fan_in);
    if (scale == Scale::fan_out) width /= std::sqrt(fan_out);
    if (scale == Scale::fan_average) width /= std::sqrt((fan_in + fan_out) / 2);
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      double value = mean;
      if (law == Law::uniform) value += width * (2.0 * random::uniform(key, at) - 1);
      if (law == Law::normal) value += width * random::normal(key, at);
      tensor.data()[i] = static_cast<P>(value);
    }
    if (dirac) pass_through(tensor);
  }

 private:
  template <class P>
  static void pass_through(Tensor<P>& tensor) {  // [out, kh, kw, in] or [out, in]
    const auto& shape = tensor.shape();
    const std::int64_t in = shape[-1], filter = tensor.size() / shape[0];
    const std::int64_t centre = shape.axes() == 4 ? shape[1] / 2 * shape[2] + shape[2] / 2 : 0;
    for (std::int64_t i = 0; i < std::min(shape[0], in); ++i) {
      std::fill_n(tensor.data() + i * filter, filter, P(0));
      tensor.data()[i * filter + centre * in + i] = 1;
    }
  }
};

inline Init constant(double value) { return {.mean = value}; }
inline Init uniform(double low, double high) {
  return {.law = Init::Law::uniform, .mean = (low + high) / 2, .spread = (high - low) / 2};
}
inline Init normal(double mean, double deviation) {
  return {.law = Init::Law::normal, .mean = mean, .spread = deviation};
}

/// He et al. 2015, for relu and, with `slope`, leaky relu. `fan` is Init::Scale::fan_in or fan_out.
inline Init kaiming_uniform(double slope = 0, Init::Scale fan = Init::Scale::fan_in) {
  return {.law = Init::Law::uniform, .scale = fan, .spread = std::sqrt(6 / (1 + slope * slope))};
}
inline Init kaiming_normal(double slope = 0, Init::Scale fan = Init::Scale::fan_in) {
  return {.law = Init::Law::normal, .scale = fan, .spread = std::sqrt(2 / (1 + slope * slope))};
}

/// Glorot, Bengio 2010.
inline Init xavier_uniform(double gain = 1) {
  return {.law = Init::Law::uniform,
          .scale = Init::Scale::fan_average,
          .spread = gain * std::sqrt(3.0)};
}
inline Init xavier_normal(double gain = 1) {
  return {.law = Init::Law::normal, .scale = Init::Scale::fan_average, .spread = gain};
}

/// What PyTorch does for the weights of linear and convolution layers: U(+-1 / sqrt(fan_in)).
inline Init pytorch_default() { return kaiming_uniform(std::sqrt(5.0)); }

/// The first filters of a convolution without groups pass the input channels through, as in PyTorch's
/// dirac_; where there are more filters than channels, the others begin as `rest`.
inline Init dirac(Init rest = pytorch_default()) {
  rest.dirac = true;
  return rest;
}

/// Gives one parameter other first values, after nn::initialize.
template <class P>
void fill(Parameter<P>& parameter, const Init& rule, random::Key key) {
  auto& state = *parameter.state();
  state.touch();
  rule(state.value, key);
  state.initialized = true;
}

}  // namespace tinynet::inline TINYNET_ABI::nn::init
