#pragma once

#include <vector>

#include <tinynet/kernels/reduce.hpp>
#include <tinynet/kernels/scale_channels.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// x + y, of one shape (a residual connection).
template <Scalar T>
Variable<T> add(const Variable<T>& x, const Variable<T>& y, Context& ctx) {
  require_same_shape("add", x.shape(), y.shape(), ctx.path);
  Tensor<T> z(x.shape());
  kernels::transform(
      z.span(), Store::overwrite, [](auto a, auto b) { return a + b; },
      std::as_const(x.value()).span(), std::as_const(y.value()).span());
  return record(ctx, {"add"}, z, inputs(x, y), [](const auto& dz, auto dx, auto dy) {
    if (dx) dx.pass(dz);
    if (dy) dy.pass(dz);
  });
}

/// x * y, element by element, of one shape.
template <Scalar T>
Variable<T> multiply(const Variable<T>& x, const Variable<T>& y, Context& ctx) {
  require_same_shape("multiply", x.shape(), y.shape(), ctx.path);
  const auto product = [](auto a, auto b) { return a * b; };
  Tensor<T> z(x.shape());
  kernels::transform(z.span(), Store::overwrite, product, std::as_const(x.value()).span(),
                     std::as_const(y.value()).span());
  return record(
      ctx, {"multiply"}, z, inputs(x, y),
      [product, x = if_wanted(y, x.value()), y = if_wanted(x, y.value())](auto& dz, auto dx,
                                                                          auto dy) {
        if (dy) {
          const auto to = dy.open();
          kernels::transform(to.span, to.store, product, std::as_const(dz).span(), x.span());
        }
        if (dx) {  // last: it may write over dz
          const auto to = dx.open_over(dz);
          kernels::transform(to.span, to.store, product, std::as_const(dz).span(), y.span());
        }
      });
}

/// factor * x.
template <Scalar T>
Variable<T> scale(const Variable<T>& x, double factor, Context& ctx) {
  const auto times = [factor](auto v) { return v * decltype(v)(factor); };
  Tensor<T> y(x.shape());
  kernels::transform(y.span(), Store::overwrite, times, std::as_const(x.value()).span());
  return record(ctx, {"scale"}, y, inputs(x), [times](auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open_over(dy);
    kernels::transform(to.span, to.store, times, std::as_const(dy).span());
  });
}

/// Multiplies every channel of every image by a gate: y[n, h, w, c] = x[n, h, w, c] * gate[n, c].
template <Scalar T>
Variable<T> scale_channels(const Variable<T>& x,              // [n, h, w, c]
                           const Variable<param_t<T>>& gate,  // [n, c]
                           Context& ctx) {
  require_axes("scale_channels", x.shape(), 4, "(n, h, w, c)", ctx.path);
  const Shape expected{x.shape()[0], x.shape()[3]};
  if (gate.shape() != expected) {
    throw ShapeError(Message("scale_channels", "the gate does not fit the image")
                         .fact("input", x.shape(), "(n, h, w, c)")
                         .fact("gate", gate.shape(), "(n, c)")
                         .fact("expected", expected)
                         .fact("in", ctx.path));
  }
  const kernels::ScaleChannelsGeometry g{expected[0], x.shape()[1] * x.shape()[2], expected[1]};
  Tensor<T> y(x.shape());
  kernels::scale_channels<T>(y.span(), Store::overwrite, x.value().span(), gate.value().span(), g);
  return record(
      ctx, {"scale_channels"}, y, inputs(x, gate),
      [g, x = if_wanted(gate, x.value()), gate = gate.value()](auto& dy, auto dx, auto dgate) {
        if (dgate) {
          const auto to = dgate.open();
          kernels::scale_channels_backward_gate<T>(to.span, to.store, dy.span(), x.span(), g);
        }
        if (dx) {  // last: it may write over dy
          const auto to = dx.open_over(dy);
          kernels::scale_channels<T>(to.span, to.store, dy.span(), gate.span(), g);
        }
      });
}

/// The sum of all elements, a scalar in the type that sums are formed in.
template <Scalar T>
Variable<accumulate_t<T>> sum(const Variable<T>& x, Context& ctx) {
  const auto y = Tensor<accumulate_t<T>>::scalar(kernels::sum<T>(x.value().span()));
  return record(ctx, {"sum"}, y, inputs(x), [](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::transform(to.span, to.store, [d = dy.item()] { return d; });
  });
}

/// The mean of all elements, a scalar.
template <Scalar T>
Variable<accumulate_t<T>> mean(const Variable<T>& x, Context& ctx) {
  require_elements("mean", x.shape(), ctx.path);
  return scale(sum(x, ctx), 1.0 / static_cast<double>(x.value().size()), ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::ops
