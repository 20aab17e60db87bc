#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <tinynet/autograd/backward.hpp>

namespace tinynet::inline TINYNET_ABI {

/// The outcome of a gradient check: `error` is the largest deviation, relative to the larger of 1 and
/// the gradient itself; `message` names the element where it stands, or says what else is wrong.
struct Gradcheck {
  bool passed = false;
  double error = 0;
  std::string message = "";
  explicit operator bool() const { return passed; }
};

struct GradcheckOptions {
  double tolerance = 1e-6;
  double step = 1e-5;          // central differences err by step^2 and by 2^-52 / step
  std::int64_t elements = 64;  // of each input, one at random in each of as many equal parts
};

/// Compares the gradients of `f` with central differences in double precision. `f` takes a vector of
/// Variables and a Context and returns a Variable of any shape, whose elements are weighted at random
/// to form a scalar. Gradients that are zero throughout fail: a check that compares zero with zero
/// says nothing.
template <class F>
Gradcheck gradcheck(F f, const std::vector<Tensor<double>>& inputs, GradcheckOptions options = {}) {
  const random::Key key = random::Key{0x67726164}.fold("gradcheck");
  Tensor<double> weights;
  const auto value = [&](const std::vector<Tensor<double>>& at) {
    auto ctx = Context::evaluation();
    ctx.mode = Mode::training;
    ctx.key = key;
    std::vector<Variable<double>> variables(at.begin(), at.end());
    const auto y = f(variables, ctx);
    double sum = 0;
    for (std::int64_t i = 0; i < y.value().size(); ++i)
      sum += y.value().data()[i] * weights.data()[i];
    return sum;
  };

  std::vector<Tensor<double>> point;
  for (const auto& input : inputs) point.push_back(input.clone());
  std::vector<Tensor<double>> gradients;
  {
    Tape tape;
    auto ctx = Context::training(tape, key);
    std::vector<Variable<double>> leaves;
    for (const auto& input : point) leaves.push_back(Variable<double>::leaf(input, tape));
    const auto y = f(leaves, ctx);
    weights = Tensor<double>::normal(y.shape(), key.fold("weights"));
    y.backward(weights);
    for (const auto& leaf : leaves) gradients.push_back(leaf.gradient().clone());
  }

  Gradcheck result{.passed = true};
  for (std::size_t k = 0; k < point.size(); ++k) {
    auto& x = point[k];
    const auto& gradient = gradients[k];
    if (std::all_of(gradient.span().begin(), gradient.span().end(),
                    [](double g) { return g == 0; })) {
      return {false, 0,
              "the gradient of input " + std::to_string(k) + " " + to_string(x.shape()) +
                  " is zero throughout: nothing was checked"};
    }
    const auto parts = std::min(x.size(), options.elements);
    for (std::int64_t part = 0; part < parts; ++part) {
      // An even stride would meet the same few channels again and again.
      const auto begin = part * x.size() / parts, end = (part + 1) * x.size() / parts;
      const auto i = begin + random::below(key.fold(k), static_cast<std::uint64_t>(part),
                                           static_cast<std::uint32_t>(end - begin));
      const double before = x.data()[i];
      x.data()[i] = before + options.step;
      const double above = value(point);
      x.data()[i] = before - options.step;
      const double below = value(point);
      x.data()[i] = before;
      const double numeric = (above - below) / (2 * options.step);
      const double analytic = gradient.data()[i];
      const double error = std::abs(numeric - analytic) / std::max(1.0, std::abs(numeric));
      if (error <= result.error) continue;  // NaN falls through
      result.error = error;
      result.passed = error <= options.tolerance;
      result.message = "input " + std::to_string(k) + " " + to_string(x.shape()) + ", element " +
                       std::to_string(i) + ": analytic " + std::to_string(analytic) + ", numeric " +
                       std::to_string(numeric);
      if (std::isnan(error)) return {false, error, result.message};
    }
  }
  return result;
}

}  // namespace tinynet::inline TINYNET_ABI
