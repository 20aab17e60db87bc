#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <tinynet/autograd/record.hpp>

/// A case of the op list (cases.hpp): a name, the shapes of its inputs and one generic lambda. It
/// can be checked against central differences, run in every precision on every kernel path, timed.

/// The precisions that the list is compiled for: all, or what a program that includes it defines.
#ifndef TINYNET_CASE_SCALARS
#define TINYNET_CASE_SCALARS float, double, bfloat16, float16
#endif

namespace tinynet::cases {

/// The inputs of a case in precision T. Whether an input is an activation, stored as T, or a
/// weight, stored as param_t<T>, follows from how the lambda asks for it.
template <Scalar T>
class Inputs {
 public:
  using scalar = T;
  using P = param_t<T>;

  Inputs(const std::vector<Tensor<double>>& values, Tape* tape) : tape_(tape) {
    for (const auto& value : values) slots_.push_back({value, {}, {}});
  }
  explicit Inputs(const std::vector<Variable<double>>& variables) requires std::same_as<T, double> {
    for (const auto& v : variables) slots_.push_back({{}, v, v});
  }

  /// Input i as an activation.
  const Variable<T>& x(std::size_t i) { return made(slots_.at(i).activation, slots_[i].value); }
  /// Input i as a weight.
  const Variable<P>& w(std::size_t i) { return made(slots_.at(i).weight, slots_[i].value); }

  /// What an op reads and has no gradient for.
  Tensor<P> constant(const Shape& shape, float low, float high) const {
    return Tensor<P>::uniform(shape, random::Key{11}.fold("constant"), low, high);
  }
  Tensor<std::int32_t> labels(std::int64_t n, std::int64_t classes) const {
    Tensor<std::int32_t> labels({n});
    for (std::int64_t i = 0; i < n; ++i) {
      labels.data()[i] = static_cast<std::int32_t>(
          random::below({12}, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(classes)));
    }
    return labels;
  }

  std::size_t size() const { return slots_.size(); }
  /// Makes leaves of another tape of the same values, or constants.
  void restart(Tape* tape) {
    const auto renew = [&]<class V>(std::optional<V>& variable) {
      if (variable) variable = tape ? V::leaf(variable->value(), *tape) : V(variable->value());
    };
    for (auto& slot : slots_) {
      renew(slot.activation);
      renew(slot.weight);
    }
  }
  /// Calls f(variable) with the variable that input i became.
  template <class F>
  void visit(std::size_t i, F&& f) const {
    if (slots_[i].activation) f(*slots_[i].activation);
    else if (slots_[i].weight) f(*slots_[i].weight);
  }

 private:
  struct Slot {
    Tensor<double> value;
    std::optional<Variable<T>> activation;
    std::optional<Variable<P>> weight;
  };

  template <Scalar U>
  const Variable<U>& made(std::optional<Variable<U>>& variable, const Tensor<double>& value) {
    if (!variable) {
      Tensor<U> stored(value.shape());
      std::transform(value.span().begin(), value.span().end(), stored.data(),
                     [](double v) { return static_cast<U>(v); });
      variable = tape_ ? Variable<U>::leaf(stored, *tape_) : Variable<U>(stored);
    }
    return *variable;
  }

  Tape* tape_ = nullptr;
  std::vector<Slot> slots_;
};

/// What a case's lambda returns: stored as T, or in the type that sums are formed in (losses).
template <Scalar T>
struct Output {
  Variable<T> stored;
  Variable<accumulate_t<T>> summed;

  template <Scalar U>
  Output(Variable<U> y) {  // NOLINT: meant to convert
    if constexpr (std::is_same_v<U, T>) stored = std::move(y);
    else summed = std::move(y);
  }
  template <class F>
  auto visit(F&& f) const {
    return summed.value().empty() ? f(stored) : f(summed);
  }
};

/// The lambda in its precisions.
class Run {
 public:
  template <class F>
  Run(F f) : functions_(made(f, std::type_identity<Functions>())) {}  // NOLINT: meant to convert

  template <Scalar T>
  Output<T> operator()(Inputs<T>& in, Context& ctx) const {
    return std::get<Function<T>>(functions_)(in, ctx);
  }

 private:
  template <Scalar T>
  using Function = std::function<Output<T>(Inputs<T>&, Context&)>;
  template <class... T>
  struct ForEach {
    using type = std::tuple<Function<T>...>;
  };
  using Functions = ForEach<TINYNET_CASE_SCALARS>::type;

  template <class F, class... Each>
  static Functions made(const F& f, std::type_identity<std::tuple<Each...>>) {
    return {Each(f)...};
  }

  Functions functions_;
};

struct Case {
  std::string name;
  std::vector<Shape> inputs;
  Run run;
  double spread = 2;     // inputs lie in (-spread, spread)
  bool rereads = false;  // the derivative reads an output or a gradient that was stored, rounded

  /// Makes several units of work for threads, and is too much for central differences.
  bool large() const {
    return std::any_of(inputs.begin(), inputs.end(),
                       [](const Shape& shape) { return shape.elements() > 20000; });
  }
};

using List = std::vector<Case>;

/// Random bits for inputs. Philox would take longer than the ops it feeds.
inline std::uint64_t word(random::Key key, std::int64_t i) {
  return random::mix(key.value + static_cast<std::uint64_t>(i));
}

/// The values of input i: a random order of odd multiples of spread / elements. All differ, by far
/// more than the step of a gradient check, none is zero, none is near 3, where hard_swish bends: so
/// no maximum ties, and no derivative is asked for where there is none.
inline Tensor<double> values(const Case& c, std::size_t i) {
  const auto& shape = c.inputs[i];
  const auto n = shape.elements(), even = n + n % 2;
  const auto key = random::Key{i}.fold(c.name);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t left = n; left > 1; --left) {
    const auto other = word(key, left) % static_cast<std::uint64_t>(left);
    std::swap(order[static_cast<std::size_t>(left - 1)], order[other]);
  }
  Tensor<double> tensor(shape);
  for (std::int64_t at = 0; at < n; ++at) {
    auto& v = tensor.data()[at];
    v = c.spread * static_cast<double>(2 * order[static_cast<std::size_t>(at)] + 1 - even) /
        static_cast<double>(even);
    if (std::abs(std::abs(v) - 3) < 1e-3) v += 2e-3;
  }
  return tensor;
}

/// K terms summed in a row err by about sqrt(K) roundings: 2^8 of them allow K = 2^16.
template <Scalar T>
inline constexpr double sum_rounding = std::is_same_v<T, double> ? 0x1p-45 : 0x1p-16;

/// Uniform in (-2, 2).
inline Tensor<double> upstream_gradient(const Case& c, const Shape& shape) {
  const auto key = random::Key{15}.fold(c.name);
  Tensor<double> gradient(shape);
  for (std::int64_t i = 0; i < gradient.size(); ++i) {
    gradient.data()[i] = static_cast<double>(word(key, i) >> 11) * 0x1p-51 - 2;
  }
  return gradient;
}

/// One output of a run: the value, or the gradient of an input.
struct Result {
  std::string what;
  Tensor<double> value;
  double eps;         // spacing of the type it was stored in, relative to the number
  double smallest;    // and the spacing next to zero
  double sums;        // what rounding may take from a sum of thousands of terms, relative to it
  double reread = 0;  // largest upstream gradient, where the derivative reads the stored output
};

struct RunOptions {
  double (*rounded)(double) = nullptr;  // applied to inputs and upstream gradient
  double nudge = 0;                     // they are changed by this fraction, with random signs
  std::uint64_t trial = 0;              // of nudging
  bool add = false;                     // gradients are added to ones instead of written
  Observer* observer = nullptr;
};

namespace detail {

inline void prepare(Tensor<double>& tensor, const RunOptions& options, random::Key key) {
  key = key.fold(options.trial);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    auto& v = tensor.data()[i];
    if (options.rounded) v = options.rounded(v);
    const bool up = word(key, i) % 2 == 1;
    v *= 1 + (up ? options.nudge : -options.nudge);
  }
}

template <Scalar U>
Result result(const std::string& what, const Tensor<U>& from) {
  Tensor<double> wide(from.shape());
  std::copy(from.span().begin(), from.span().end(), wide.data());
  return {what, wide, static_cast<double>(std::numeric_limits<U>::epsilon()),
          std::is_same_v<U, float16> ? 0x1p-24 : 0x1p-126,  // kernels may flush subnormal floats
          sum_rounding<U>};
}

template <Scalar U>
void set_gradient_to_ones(const Variable<U>& leaf) {
  if (leaf.node()) leaf.node()->gradient = Tensor<U>::ones(leaf.shape()).buffer();
}

}  // namespace detail

/// Runs a case forward, and backward from a random upstream gradient that is the same every time.
template <Scalar T>
std::vector<Result> run(const Case& c, const RunOptions& options = {}) {
  std::vector<Tensor<double>> at;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    at.push_back(values(c, i));
    detail::prepare(at.back(), options, random::Key{13}.fold(i));
  }
  Tape tape;
  auto ctx = Context::training(tape, random::Key{14}.fold(c.name));
  ctx.observer = options.observer;
  Inputs<T> in(at, &tape);
  const auto y = c.run(in, ctx);
  if (options.add) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      in.visit(i, [](const auto& leaf) { detail::set_gradient_to_ones(leaf); });
    }
  }

  std::vector<Result> results;
  double largest = 0;
  y.visit([&]<Scalar U>(const Variable<U>& out) {
    results.push_back(detail::result("value", out.value()));
    auto upstream = upstream_gradient(c, out.shape());
    detail::prepare(upstream, options, random::Key{16});
    Tensor<U> seed(out.shape());
    std::transform(upstream.span().begin(), upstream.span().end(), seed.data(),
                   [](double v) { return static_cast<U>(v); });
    for (const double v : upstream.span()) largest = std::max(largest, std::abs(v));
    out.backward(seed);
  });
  for (std::size_t i = 0; i < in.size(); ++i) {
    in.visit(i, [&](const auto& leaf) {
      results.push_back(detail::result("gradient of input " + std::to_string(i), leaf.gradient()));
      if (c.rereads) results.back().reread = largest;
    });
  }
  return results;
}

}  // namespace tinynet::cases
