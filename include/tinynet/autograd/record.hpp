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
  [[gnu::noinline]] Weight(const Weight&) = default;
  [[gnu::noinline]] Weight(Weight&&) noexcept = default;
  Weight& operator=(const Weight&) = default;
  Weight& operator=(Weight&&) noexcept = default;
  [[gnu::noinline]] ~Weight() {}

  explicit operator bool() const { return !value_.empty(); }
  const Tensor<P>& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  std::span<const P> span() const { return value_.span(); }
  const std::shared_ptr<ParameterState<P>>& state() const { return state_; }
  const std::shared_ptr<Node>& node() const { return node_; }

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
  [[gnu::noinline]] Destination<U> open() const {
    if (parameter_) {
      const auto store = parameter_->has_gradient ? Store::add : Store::overwrite;
      parameter_->has_gradient = true;
      return {parameter_->gradient.span(), store};
    }
    const auto count = static_cast<std::size_t>(node_->shape.elements());
    const auto store = node_->open(count * sizeof(U));
    return {{reinterpret_cast<U*>(node_->gradient.data()), count}, store};
  }

  /// As `open`, in the storage of the output's gradient itself where this is the first contribution
  /// and nobody else holds it: for closures that take `Tensor<T>& dy`, and kernels that may write
  /// over what they read.
  [[gnu::noinline]] Destination<U> open_over(Tensor<U>& dy) const {
    const bool first = node_ && !node_->gradient;
    if (!first || !dy.unique() || dy.data() != static_cast<void*>(dy.buffer().data()))
      return open();
    node_->gradient = dy.buffer();
    return {dy.span(), Store::overwrite};
  }

  /// Hands on a gradient that is the output's own, elements in the same order: shared where it is the
  /// first contribution, added otherwise.
  [[gnu::noinline]] void pass(const Tensor<U>& dy) const {
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

[[noreturn, gnu::cold]] inline void throw_over(const Node& node) {
  throw StateError(
      Message("backward", "a gradient arrives at an op whose tape was walked or is gone")
          .fact("op", node.op)
          .hint("what several losses share is one forward pass on one tape: call backward once, on "
                "their sum; a constant is Variable(x.value())"));
}
[[noreturn, gnu::cold]] inline void throw_changed(const std::string& parameter) {
  throw StateError(Message("backward", "a parameter has changed since the forward pass read it")
                       .fact("parameter", parameter.empty() ? "(not named yet)" : parameter)
                       .hint("call backward for all losses first, and step the optimizer then"));
}

/// Where the gradient of one input goes; keeps it alive. Nowhere if nobody wants it.
template <class U>
struct Target {
  std::shared_ptr<Node> node;
  std::shared_ptr<ParameterState<U>> parameter;  // whose values the derivative of others may read
  bool learns = false;                           // and which wants a gradient itself
  std::uint64_t version = parameter ? parameter->version : 0;  // as the forward pass read it

  Target(std::shared_ptr<Node> n, std::shared_ptr<ParameterState<U>> p, bool l)
      : node(std::move(n)), parameter(std::move(p)), learns(l) {}
  [[gnu::noinline]] Target(const Target&) = default;
  [[gnu::noinline]] Target(Target&&) noexcept = default;
  Target& operator=(const Target&) = default;
  Target& operator=(Target&&) noexcept = default;
  [[gnu::noinline]] ~Target() {}

  [[gnu::noinline]] Gradient<U> gradient() const {
    if (node && node->over) throw_over(*node);
    if (parameter && parameter->version != version) throw_changed(parameter->name);
    return {node.get(), learns && !parameter->frozen ? parameter.get() : nullptr};
  }
};

/// The same for any number of inputs of one type (concat); the closure gets a vector of gradients.
template <class U>
struct TargetList {
  std::vector<Target<U>> list;

  std::vector<Gradient<U>> gradient() const {
    std::vector<Gradient<U>> gradients;
    for (const auto& each : list) gradients.push_back(each.gradient());
    return gradients;
  }
};

template <class U>
Observation::Operand operand(const Tensor<U>& tensor, const std::string* parameter = nullptr,
                             bool wants_gradient = false) {
  // Parameters share flat buffers; other tensors with one buffer are views of one another.
  const void* id = tensor.buffer().data();
  if (parameter) id = tensor.data();
  return {id, tensor.shape(), parameter, static_cast<std::size_t>(tensor.size()) * sizeof(U),
          wants_gradient};
}

template <class P>
bool learns(const Weight<P>& w) {
  return w.state() && w.state()->trainable && !w.state()->frozen;
}

/// Whether somebody wants the gradient of an input.
template <class T>
bool wanted(const Variable<T>& x) {
  return bool(x.node());
}
template <class P>
bool wanted(const Weight<P>& w) {
  return w.node() || learns(w);
}
template <class T>
bool wanted(const std::vector<Variable<T>>& xs) {
  return std::any_of(xs.begin(), xs.end(), [](const auto& x) { return wanted(x); });
}

template <class T>
Target<T> target(const Variable<T>& x) {
  return {x.node(), nullptr, false};
}
template <class P>
Target<P> target(const Weight<P>& w) {
  return {w.node(), w.state(), learns(w)};
}
template <class T>
TargetList<T> target(const std::vector<Variable<T>>& xs) {
  TargetList<T> targets;
  for (const auto& x : xs) targets.list.push_back(target(x));
  return targets;
}

using Operands = List<Observation::Operand>;

template <class T>
void list_operands(Operands& operands, const Variable<T>& x) {
  operands.push_back(operand(x.value(), nullptr, wanted(x)));
}
template <class P>
void list_operands(Operands& operands, const Weight<P>& w) {
  if (!w) return;
  const auto* name = w.state() ? &w.state()->name : nullptr;
  operands.push_back(operand(w.value(), name, wanted(w)));
}
template <class T>
void list_operands(Operands& operands, const std::vector<Variable<T>>& xs) {
  for (const auto& x : xs) list_operands(operands, x);
}

template <class T>
bool all_finite(const void* tensor) {
  return kernels::all_finite<T>(static_cast<const Tensor<T>*>(tensor)->span());
}

/// Tells the observer about an op; its path is the layer of its parameters where it has any.
[[gnu::noinline]] inline void show(Context& ctx, const Op& op, const Operands& inputs,
                                   const Observation::Operand& output, bool (*finite)(const void*),
                                   const void* value) {
  std::string path = ctx.path;
  for (const auto& each : inputs) {
    if (!each.parameter || each.parameter->empty()) continue;
    path = layer_of(*each.parameter);
    break;
  }
  ctx.observer->see({op, path, inputs, output, finite, value});
}

// The parts of `record` that depend on the types of the inputs alone, or on nothing, stand apart and
// are not inlined: there is one `record` for each op, and together they were a tenth of what a unit
// that trains a network compiles.

template <class T, class... In>
[[gnu::noinline]] void observe(Context& ctx, const Op& op, const Tensor<T>& y,
                               const std::tuple<const In&...>& in) {
  Operands operands;
  std::apply([&](const auto&... each) { (list_operands(operands, each), ...); }, in);
  show(ctx, op, operands, operand(y), all_finite<T>, &y);
}

template <class... In>
[[gnu::noinline]] auto targets(const std::tuple<const In&...>& in) {
  return std::apply([](const auto&... each) { return std::tuple{target(each)...}; }, in);
}

[[gnu::noinline]] inline std::shared_ptr<Node> append(Context& ctx, const Op& op,
                                                      const Shape& shape,
                                                      std::unique_ptr<Backward> backward) {
  auto node = std::make_shared<Node>();
  node->op = op.name;
  node->tape = ctx.tape;
  node->shape = shape;
  node->backward = std::move(backward);
  ctx.tape->nodes.push_back(node);
  if (ctx.observer) {
    ctx.tape->observer = ctx.observer;
    ctx.observer->recorded(*node);
  }
  return node;
}

/// An op's closure with the places that its gradients go to.
template <class T, class Closure, class... In>
struct Recorded final : Backward {
  Recorded(Closure c, const std::tuple<const In&...>& in)
      : closure(std::move(c)), targets(detail::targets(in)) {}

  void run(Node& node) override {
    Tensor<T> dy(std::move(node.gradient), 0, node.shape);  // its only owner now
    std::apply([&](const auto&... each) { closure(dy, each.gradient()...); }, targets);
  }

  Closure closure;
  decltype(detail::targets(std::declval<std::tuple<const In&...>>())) targets;
};

}  // namespace detail

/// The inputs of an op, Variables and Weights, in the order in which its closure takes gradients.
template <class... In>
std::tuple<const In&...> inputs(const In&... in) {
  return {in...};
}

/// What only the gradient of `input` reads, for a closure to capture: nothing where nobody wants it,
/// as of frozen weights.
template <class In, class U>
Tensor<U> if_wanted(const In& input, const Tensor<U>& read) {
  return detail::wanted(input) ? read : Tensor<U>();
}

/// Turns a computed value into a Variable and, where a tape runs and an input wants a gradient,
/// records how to get there. `backward(dy, d_first, d_second, ...)` gets the gradient of the output
/// as a tensor, which it may overwrite, and a Gradient for each input; it captures exactly what the
/// derivatives read that are wanted (`if_wanted`).
///
///     return record(ctx, {"square"}, y, inputs(x), [x = x.value()](const auto& dy, auto dx) {
///       if (!dx) return;
///       const auto to = dx.open();
///       ...write 2 * x * dy to to.span, as to.store says...
///     });
template <Scalar T, class... In, class Closure>
Variable<T> record(Context& ctx, const Op& op, Tensor<T> y, const std::tuple<const In&...>& in,
                   Closure backward) {
  if (ctx.observer) detail::observe(ctx, op, y, in);
  const bool wanted =
      ctx.tape && std::apply([](const auto&... each) { return (detail::wanted(each) || ...); }, in);
  if (!wanted) return Variable<T>(std::move(y));
  // Not make_unique: it would compile a unique_ptr for every op.
  std::unique_ptr<Backward> step(new detail::Recorded<T, Closure, In...>(std::move(backward), in));
  auto node = detail::append(ctx, op, y.shape(), std::move(step));
  return {std::move(y), std::move(node)};
}

}  // namespace tinynet::inline TINYNET_ABI
