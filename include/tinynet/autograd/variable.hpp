#pragma once

#include <memory>
#include <string>
#include <utility>

#include <tinynet/autograd/context.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI {

/// How a gradient goes on from an op's output to its inputs; owns what the derivative reads.
struct Backward {
  virtual ~Backward() = default;
  virtual void run(Node& node) = 0;
};

/// One entry of the tape: where the gradient of an op's output gathers, and how it goes on to the
/// op's inputs. Not a template: the gradient is storage that the typed handles interpret.
struct Node {
  const char* op = "leaf";
  Tape* tape = nullptr;
  Shape shape;
  Buffer gradient;                     // empty until the first contribution
  std::unique_ptr<Backward> backward;  // none for a leaf, whose gradient stays
  bool over = false;                   // an op's, once its tape was walked or is gone

  /// Storage for a contribution, and whether it is the first. Storage that another node shares is
  /// copied before it is added to.
  [[gnu::noinline]] Store open(std::size_t bytes) {
    if (!gradient) {
      gradient = Buffer(bytes);
      return Store::overwrite;
    }
    if (!gradient.unique()) {
      Buffer own(bytes);
      std::copy_n(gradient.data(), bytes, own.data());
      gradient = std::move(own);
    }
    return Store::add;
  }
};

inline Tape::~Tape() {
  // From the end: an op keeps those before it alive, and a long chain must not unwind by recursion.
  for (; !nodes.empty(); nodes.pop_back()) {
    auto& node = *nodes.back();
    node.tape = nullptr;
    node.over = node.backward != nullptr;
    node.backward = nullptr;
  }
}

/// A tensor that remembers how it was computed where a tape is running. A handle: copies share.
template <Scalar T>
class Variable {
 public:
  Variable() = default;
  /// A constant: no gradient flows into it.
  Variable(Tensor<T> value) : value_(std::move(value)) {}
  Variable(Tensor<T> value, std::shared_ptr<Node> node)
      : value_(std::move(value)), node_(std::move(node)) {}
  // Not inlined: the last by itself would be a tenth of each op.
  [[gnu::noinline]] Variable(const Variable&) = default;
  [[gnu::noinline]] Variable(Variable&&) noexcept = default;
  [[gnu::noinline]] Variable& operator=(const Variable&) = default;
  [[gnu::noinline]] Variable& operator=(Variable&&) noexcept = default;
  [[gnu::noinline]] ~Variable() {}

  /// A variable whose gradient is wanted: `gradient()` has it after `backward`.
  static Variable leaf(Tensor<T> value, Tape& tape) {
    auto node = std::make_shared<Node>();
    node->tape = &tape;
    node->shape = value.shape();
    tape.nodes.push_back(node);  // so that it hears of the tape's end
    return {std::move(value), std::move(node)};
  }

  const Tensor<T>& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  T item() const { return value_.item(); }
  const std::shared_ptr<Node>& node() const { return node_; }

  /// The gradient of a leaf, with the shape of its value; zeros where none reached it.
  Tensor<T> gradient() const {
    if (!node_) {
      throw StateError(Message("gradient", "this variable does not take part in a backward pass")
                           .hint("make it with Variable::leaf(value, tape)"));
    }
    if (node_->backward || node_->over) {
      throw StateError(Message("gradient", "what an op computed does not keep its gradient")
                           .fact("op", node_->op)
                           .hint("ask a Variable::leaf, or make one of its value"));
    }
    if (!node_->gradient) return Tensor<T>::zeros(shape());
    return Tensor<T>(node_->gradient, 0, shape());
  }

  /// Propagates d(this) back to all leaves and parameters that it depends on, and frees the tape.
  /// Without a seed the variable must be a scalar (a loss), whose gradient is `weight`: 1 / n for
  /// the mean over n backward passes that add up, batch.size() / total where batches differ in
  /// size. Where it throws, gradients that it had written stay: optimizer.zero_grad() drops them.
  inline void backward(double weight = 1) const;
  inline void backward(const Tensor<T>& seed) const;

 private:
  Tensor<T> value_;
  std::shared_ptr<Node> node_;
};

}  // namespace tinynet::inline TINYNET_ABI
