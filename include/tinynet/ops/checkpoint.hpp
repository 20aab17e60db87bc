#pragma once

#include <memory>
#include <utility>

#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

namespace detail {

/// Notices whether an op of a forward pass without a tape would have been recorded with one.
struct WantsGradient final : Observer {
  Observer* next = nullptr;
  bool found = false;

  void see(const Observation& seen) override {
    for (const auto& each : seen.inputs) found |= each.wants_gradient;
    if (next) next->see(seen);
  }
};

/// Runs a block a second time, now with a tape of its own, and that tape backwards.
template <Scalar T, Scalar U, class F>
struct Recompute final : Backward {
  F f;
  Variable<T> x;
  Context ctx;  // as it was when the block began: the same random streams

  Recompute(F function, Variable<T> input, Context context)
      : f(std::move(function)), x(std::move(input)), ctx(std::move(context)) {
    ctx.recompute = true;
  }

  void run(Node& node) override {
    Tape tape;
    ctx.tape = &tape;
    // What the block reads is on the tape that runs now, before this node: gradients go there
    // directly, in the order in which they would without a checkpoint, and are the same bits.
    const Variable<U> y = f(std::move(x), ctx);
    if (y.shape() != node.shape) {
      throw StateError(Message("checkpoint", "the block computed another shape the second time")
                           .fact("forward", node.shape)
                           .fact("backward", y.shape())
                           .fact("in", ctx.path)
                           .hint("what a checkpoint runs must depend on its input, its parameters "
                                 "and the Context alone"));
    }
    if (!y.node()) return;
    Gradient<U>(y.node().get(), nullptr).pass(Tensor<U>(std::move(node.gradient), 0, node.shape));
    tinynet::detail::run_backward(tape);
  }
};

template <Scalar T, Scalar U, class F>
Variable<U> recompute_later(F f, Variable<T> x, const Variable<U>& y, const Context& begin,
                            Context& ctx) {
  const Op op{.name = "checkpoint", .stored = false};
  if (ctx.observer) tinynet::detail::observe(ctx, op, y.value(), inputs(x));
  using Step = Recompute<T, U, F>;
  std::unique_ptr<Backward> step(new Step(std::move(f), std::move(x), begin));
  return {y.value(), tinynet::detail::append(ctx, op, y.shape(), std::move(step))};
}

}  // namespace detail

/// f(x, ctx), computed again in the backward pass instead of being kept until then: the tape holds x
/// alone, and the peak falls by what the ops of f would have kept, for the time of one more forward
/// pass of f (Chen et al. 2016; PyTorch's torch.utils.checkpoint).
///
///     y = ops::checkpoint([&](auto in, Context& inner) { return block(in, inner); }, x, ctx);
///
/// Gradients are the same bits as without: the second pass draws the same random numbers, and leaves
/// the running statistics of batch norm to the first. `f` is copied and kept until the backward pass;
/// what it refers to has to live, and to stay as it is, until then. Checkpoints nest. Without a tape
/// this is f. The backward pass throws StateError where f then gives another shape.
template <Scalar T, class F>
auto checkpoint(F f, Variable<T> x, Context& ctx) {
  if (!ctx.tape) return f(std::move(x), ctx);
  Context forward = ctx;
  forward.tape = nullptr;
  forward.repeated = true;
  detail::WantsGradient watch;  // an input without gradient: there may be parameters inside
  watch.next = ctx.observer;
  if (!x.node()) forward.observer = &watch;
  auto y = f(Variable<T>(x.value()), forward);
  const Context begin = ctx;
  ctx.drawn = forward.drawn;
  if (!x.node() && !watch.found) return y;
  return detail::recompute_later(std::move(f), std::move(x), y, begin, ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::ops
