#pragma once

#include <vector>

#include <tinynet/kernels/concat.hpp>
#include <tinynet/kernels/layout.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// The same elements under another shape; free.
template <Scalar T>
Variable<T> reshape(const Variable<T>& x, const Shape& shape, Context& ctx) {
  return record(ctx, {.name = "reshape", .stored = false}, x.value().reshape(shape), inputs(x),
                [](const auto& dy, auto dx) {
                  if (dx) dx.pass(dy);
                });
}

/// [n, ...] -> [n, features], rows in the order of memory: for images (h, w, c), not PyTorch's
/// (c, h, w).
template <Scalar T>
Variable<T> flatten(const Variable<T>& x, Context& ctx) {
  require_elements("flatten", x.shape(), ctx.path);
  const auto n = x.shape()[0];
  return reshape(x, {n, x.value().size() / n}, ctx);
}

/// Joins tensors along their last axis (channels); the other axes agree.
template <Scalar T>
Variable<T> concat(const std::vector<Variable<T>>& xs, Context& ctx) {
  if (xs.empty()) throw ShapeError(Message("concat", "nothing to join").fact("in", ctx.path));
  auto shape = xs[0].shape();
  std::vector<std::int64_t> widths;
  shape[-1] = 0;
  for (const auto& x : xs) {
    auto outer = x.shape();
    if (outer.axes() != shape.axes()) outer = {};
    else outer[-1] = shape[-1];
    if (outer != shape) {
      throw ShapeError(Message("concat", "the operands differ in more than the last axis")
                           .fact("first", xs[0].shape())
                           .fact("other", x.shape())
                           .fact("in", ctx.path));
    }
    widths.push_back(x.shape()[-1]);
    shape[-1] += widths.back();
  }
  Tensor<T> y(shape);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    kernels::place_columns<T>(y.span(), shape[-1], at, xs[i].value().span(), widths[i]);
    at += widths[i];
  }
  return record(
      ctx, {"concat"}, y, inputs(xs), [widths, total = shape[-1]](const auto& dy, const auto& dxs) {
        std::int64_t from = 0;
        for (std::size_t i = 0; i < dxs.size(); ++i) {
          if (dxs[i]) {
            const auto to = dxs[i].open();
            kernels::take_columns<T>(to.span, to.store, widths[i], dy.span(), total, from);
          }
          from += widths[i];
        }
      });
}

/// Zeros around an image, in pixels.
struct Border {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};

/// Adds a border of zeros: [n, h, w, c] -> [n, h + top + bottom, w + left + right, c].
template <Scalar T>
Variable<T> pad(const Variable<T>& x, Border border, Context& ctx) {
  require_axes("pad", x.shape(), 4, "(n, h, w, c)", ctx.path);
  if (std::min({border.top, border.bottom, border.left, border.right}) < 0) {
    throw ShapeError(Message("pad", "a border is at least 0").fact("in", ctx.path));
  }
  const auto& s = x.shape();
  const kernels::Pad2dGeometry g{.n = s[0],
                                 .h = s[1],
                                 .w = s[2],
                                 .c = s[3],
                                 .top = border.top,
                                 .bottom = border.bottom,
                                 .left = border.left,
                                 .right = border.right};
  Tensor<T> y({g.n, g.padded_h(), g.padded_w(), g.c});
  kernels::pad2d_forward<T>(y.span(), x.value().span(), g);
  return record(ctx, {"pad"}, y, inputs(x), [g](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::pad2d_backward<T>(to.span, to.store, dy.span(), g);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
