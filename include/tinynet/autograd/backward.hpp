#pragma once

#include <tinynet/autograd/variable.hpp>

namespace tinynet::inline TINYNET_ABI {

namespace detail {

/// Runs a tape from its end, with the gradients that stand in its nodes. Ops are recorded after what
/// they read, so the tape backwards is a topological order. A closure is freed as soon as it has
/// run, and with it the activations that it alone kept.
inline void run_backward(Tape& tape) {
  Tape walked;  // unwinds a long chain without recursion also where a closure throws
  auto& nodes = walked.nodes;
  nodes = std::move(tape.nodes);
  auto* const observer = tape.observer;
  for (; !nodes.empty(); nodes.pop_back()) {
    auto& node = *nodes.back();
    node.tape = nullptr;
    if (!node.backward) continue;  // a leaf, whose gradient stays
    node.over = true;
    if (node.gradient) {
      node.backward->run(node);
      if (observer) observer->backward_ran(node);
    }
    node.backward = nullptr;
    node.gradient = Buffer();
  }
}

}  // namespace detail

template <Scalar T>
void Variable<T>::backward(double weight) const {
  if (value_.size() != 1) {
    throw ShapeError(Message("backward", "needs a loss with one element, or a seed")
                         .fact("came", shape())
                         .hint("reduce with a loss, or call backward(seed) with a gradient"));
  }
  backward(Tensor<T>::full(shape(), static_cast<T>(static_cast<accumulate_t<T>>(weight))));
}

template <Scalar T>
void Variable<T>::backward(const Tensor<T>& seed) const {
  if (!node_ || !node_->tape) {
    throw StateError(Message("backward", "nothing was recorded, or the tape is gone")
                         .hint("run the forward pass with Context::training(tape, key), and "
                               "call backward once, while the tape lives"));
  }
  if (seed.shape() != shape()) {
    throw ShapeError(Message("backward", "the seed has another shape than the variable")
                         .fact("expected", shape())
                         .fact("came", seed.shape()));
  }
  auto& tape = *node_->tape;
  if (tape.observer) tape.observer->backward_begins();
  node_->gradient = seed.clone().buffer();  // ops may hand it on, and the seed is the caller's
  detail::run_backward(tape);
}

}  // namespace tinynet::inline TINYNET_ABI
