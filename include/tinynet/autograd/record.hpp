#pragma once

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <tinynet/autograd/backward.hpp>
#include <tinynet/autograd/parameter.hpp>
#include <tinynet/autograd/variable.hpp>
#include <tinynet/kernels/elementwise.hpp>
#include <tinynet/kernels/reduce.hpp>

namespace tinynet::inline TINYNET_ABI {

/// What an op takes as weights: a Parameter, or a Variable that other ops computed. Absent where an
/// optional one (a bias) is left out.
template <class P>
class Weight {
 public:
  Weight() = default;
  Weight(const Parameter<P>& parameter) : state_(parameter.state()) {
    if (!state_) return;
    if (!state_->initialized) ParameterList<P>::throw_uninitialized("forward", state_->name);
    value_ = state_->value;
  }
  Weight(const Variable<P>& variable) : value_(variable.value()), node_(variable.node()) {}

  explicit operator bool() const { return !value_.empty(); }
  const Tensor<P>& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  std::span<const P> span() const { return value_.span(); }
  const std::shared_ptr<ParameterState<P>>& state() const { return state_; }
  const std::shared_ptr<Node>& node() const { return node_; }
  /// The parameter's dotted name without its last part: the layer. Empty for a Variable.
  std::string layer() const {
    if (!state_) return "";
    const auto dot = state_->name.rfind('.');
    return dot == std::string::npos ? "" : state_->name.substr(0, dot);
  }

  /// The weights as a kernel wants them, cached with a parameter, made for the occasion otherwise
  /// (then `storage` keeps them).
  template <class Fill>
  const std::byte* packed(const void* kernel, std::uint64_t variant, std::int64_t bytes,
                          Buffer& storage, Fill fill) const {
    if (state_) return state_->packed(kernel, variant, bytes, fill);
    storage = Buffer(static_cast<std::size_t>(bytes));
    fill(storage.data());
    return storage.data();
  }

 private:
  Tensor<P> value_;
  std::shared_ptr<ParameterState<P>> state_;
  std::shared_ptr<Node> node_;
};

/// Where a backward kernel writes: all of `span`, overwriting or adding.
template <class U>
struct Destination {
  std::span<U> span;
  Store store;
};

/// The gradient of one input, as a backward closure sees it. False where nobody wants it.
template <class U>
class Gradient {
 public:
  Gradient(Node* node, ParameterState<U>* parameter) : node_(node), parameter_(parameter) {}

  explicit operator bool() const { return node_ || parameter_; }

  /// Storage to write the contribution to; call once, and only where the gradient is wanted.
  Destination<U> open() const {
    if (parameter_) {
      const auto store = parameter_->has_gradient ? Store::add : Store::overwrite;
      parameter_->has_gradient = true;
      return {parameter_->gradient.span(), store};
    }
    const auto count = static_cast<std::size_t>(node_->shape.elements());
    const auto store = node_->open(count * sizeof(U));
    return {{reinterpret_cast<U*>(node_->gradient.data()), count}, store};
  }

  /// Hands on a gradient that is the output's own, elements in the same order: shared where it is the
  /// first contribution, added otherwise.
  void pass(const Tensor<U>& dy) const {
    if (node_ && !node_->gradient && dy.data() == static_cast<const void*>(dy.buffer().data())) {
      node_->gradient = dy.buffer();
      return;
    }
    const auto to = open();
    kernels::accumulate<U>(to.span, to.store, dy.span());
  }

 private:
  Node* node_;
  ParameterState<U>* parameter_;
};

namespace detail {

/// An input of a recorded op: keeps alive what its gradient goes to.
template <class U>
struct Input {
  std::shared_ptr<Node> node;
  std::shared_ptr<ParameterState<U>> parameter;
  Observation::Operand operand;

  bool wanted() const { return node || parameter; }
  Gradient<U> gradient() const { return {node.get(), parameter.get()}; }
  void show(std::vector<Observation::Operand>& to) const {
    if (operand.id) to.push_back(operand);
  }
};

/// Any number of inputs of one type (concat); the closure gets a vector of gradients.
template <class U>
struct InputList {
  std::vector<Input<U>> list;

  bool wanted() const {
    return std::any_of(list.begin(), list.end(), [](const auto& each) { return each.wanted(); });
  }
  std::vector<Gradient<U>> gradient() const {
    std::vector<Gradient<U>> gradients;
    for (const auto& each : list) gradients.push_back(each.gradient());
    return gradients;
  }
  void show(std::vector<Observation::Operand>& to) const {
    for (const auto& each : list) each.show(to);
  }
};

template <class U>
Observation::Operand operand(const Tensor<U>& tensor, const std::string* parameter = nullptr) {
  return {tensor.buffer().data(), tensor.shape(), parameter,
          static_cast<std::size_t>(tensor.size()) * sizeof(U)};
}
template <class T>
Input<T> input(const Variable<T>& x) {
  return {x.node(), nullptr, operand(x.value())};
}
template <class P>
Input<P> input(const Weight<P>& w) {
  if (!w) return {};
  const bool train = w.state() && w.state()->trainable;
  return {w.node(), train ? w.state() : nullptr,
          operand(w.value(), w.state() ? &w.state()->name : nullptr)};
}

template <class T>
InputList<T> input(const std::vector<Variable<T>>& xs) {
  InputList<T> inputs;
  for (const auto& x : xs) inputs.list.push_back(input(x));
  return inputs;
}

template <class T>
bool all_finite(const void* tensor) {
  return kernels::all_finite<T>(static_cast<const Tensor<T>*>(tensor)->span());
}

/// Tells the observer about an op; its path is the layer of its parameters where it has any.
inline void show(Context& ctx, const Op& op, const std::vector<Observation::Operand>& inputs,
                 const Observation::Operand& output, bool (*finite)(const void*), const void* value) {
  std::string path = ctx.path;
  for (const auto& each : inputs) {
    if (!each.parameter || each.parameter->empty()) continue;
    const auto dot = each.parameter->rfind('.');
    path = dot == std::string::npos ? "" : each.parameter->substr(0, dot);
    break;
  }
  ctx.observer->see({op, path, inputs, output, finite, value});
}

}  // namespace detail

/// The inputs of an op, Variables and Weights, in the order in which its closure takes gradients.
template <class... In>
auto inputs(const In&... in) {
  return std::tuple{detail::input(in)...};
}

/// Turns a computed value into a Variable and, where a tape runs and an input wants a gradient,
/// records how to get there. `backward(dy, d_first, d_second, ...)` gets the gradient of the output
/// as a tensor and a Gradient for each input; it captures exactly what the derivative reads.
///
///     return record(ctx, {"square"}, y, inputs(x), [x = x.value()](const auto& dy, auto dx) {
///       if (!dx) return;
///       const auto to = dx.open();
///       ...write 2 * x * dy to to.span, as to.store says...
///     });
template <Scalar T, class... In, class Backward>
Variable<T> record(Context& ctx, const Op& op, Tensor<T> y, const std::tuple<In...>& in,
                   Backward backward) {
  if (ctx.observer) {
    std::vector<Observation::Operand> operands;
    std::apply([&](const auto&... each) { (each.show(operands), ...); }, in);
    detail::show(ctx, op, operands, detail::operand(y), detail::all_finite<T>, &y);
  }
  const bool wanted = std::apply([](const auto&... each) { return (each.wanted() || ...); }, in);
  if (!ctx.tape || !wanted) return Variable<T>(std::move(y));
  auto node = std::make_shared<Node>();
  node->op = op.name;
  node->tape = ctx.tape;
  node->shape = y.shape();
  node->backward = [in, backward = std::move(backward)](Node& self) {
    const Tensor<T> dy(self.gradient, 0, self.shape);
    self.gradient = Buffer();  // dy is the only owner now, unless a closure hands it on
    std::apply([&](const auto&... each) { backward(dy, each.gradient()...); }, in);
  };
  ctx.tape->nodes.push_back(node);
  return {std::move(y), std::move(node)};
}

}  // namespace tinynet::inline TINYNET_ABI
