#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <tinynet/autograd/parameter.hpp>

/// Parameters for tests of optimizers, without a network around them.
namespace tinynet::tests {

/// Five parameters with fixed values, as a small network lists them.
template <class P>
struct Model {
  std::vector<Parameter<P>> parameters;

  explicit Model(std::int64_t width = 7) {
    add("conv1.weight", ParameterKind::weight, {3, width});
    add("bn1.weight", ParameterKind::norm_scale, {3});
    add("bn1.bias", ParameterKind::norm_shift, {3});
    add("fc.weight", ParameterKind::weight, {2, width});
    add("fc.bias", ParameterKind::bias, {2});
  }
  void add(const char* name, ParameterKind kind, const Shape& shape) {
    parameters.push_back(Parameter<P>(shape, kind, {}));
    parameters.back().state()->name = name;
    parameters.back().set(normal(shape, random::Key{1}.fold(name)));
  }
  ParameterList<P> list() const {
    ParameterList<P> list;
    for (const auto& parameter : parameters) list.append(parameter.state());
    return list;
  }
  ParameterState<P>& operator[](std::size_t i) { return *parameters[i].state(); }

  /// What a backward pass would leave, other numbers in each step.
  void give_gradients(int step) {
    for (std::size_t i = 0; i < parameters.size(); ++i) give_gradient(i, step);
  }
  void give_gradient(std::size_t i, int step) {
    auto& state = *parameters[i].state();
    const auto gradient =
        normal(state.value.shape(), random::Key{2}.fold(state.name).fold(std::uint64_t(step)));
    std::copy(gradient.span().begin(), gradient.span().end(), state.gradient.data());
    state.has_gradient = true;
  }
  static Tensor<P> normal(const Shape& shape, random::Key key) {
    return Tensor<P>::normal(shape, key);
  }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all;
    for (const auto& p : parameters) {
      const auto& value = p.value();
      all.emplace_back(value.span().begin(), value.span().end());
    }
    return all;
  }
};

}  // namespace tinynet::tests
