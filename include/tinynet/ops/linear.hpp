#pragma once

#include <tinynet/kernels/gemm.hpp>
#include <tinynet/kernels/reduce.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

namespace detail {
template <class P>
[[gnu::noinline]] void check_linear(const Shape& x, const Weight<P>& w, const Weight<P>& bias,
                                    const Context& ctx) {
  const auto path = where(ctx, w);
  require_axes("linear", x, 2, "(n, features)", path);
  require_elements("linear", x, path);
  const std::int64_t in = x[1], out = w.shape()[0];
  if (w.shape() != Shape{out, in}) {
    throw ShapeError(
        Message("linear", {"input has ", in, " features, weight expects ", w.shape()[-1]})
            .fact("input", x, "(n, in)")
            .fact("weight", w.shape(), "(out, in)")
            .fact("in", path)
            .hint({"set LinearOptions::in to ", in}));
  }
  if (out == 0) {
    throw ShapeError(Message("linear", "the weight has no elements")
                         .fact("weight", w.shape(), "(out, in)")
                         .fact("in", path));
  }
  if (bias && bias.shape() != Shape{out}) {
    throw ShapeError(Message("linear", "the bias does not fit the weight")
                         .fact("weight", w.shape(), "(out, in)")
                         .fact("bias", bias.shape())
                         .fact("in", path));
  }
}
}  // namespace detail

/// A fully connected layer: y[n, o] = bias[o] + sum_i x[n, i] * w[o, i].
/// Throws ShapeError if the features differ.
template <Scalar T>
Variable<T> linear(const Variable<T>& x,            // [n, in]
                   const Weight<param_t<T>>& w,     // [out, in]
                   const Weight<param_t<T>>& bias,  // [out], or absent
                   Context& ctx) {                  // -> [n, out]
  using P = param_t<T>;
  detail::check_linear(x.shape(), w, bias, ctx);
  const std::int64_t n = x.shape()[0], in = x.shape()[1], out = w.shape()[0];
  Tensor<T> y({n, out});
  kernels::gemm<T, P, T>(kernels::matrix(x.value().data(), n, in),
                         kernels::matrix(w.value().data(), out, in).transposed(),
                         kernels::matrix(y.data(), n, out), bias ? bias.value().data() : nullptr,
                         Store::overwrite);
  return record(
      ctx, {"linear", n * in * out}, y, inputs(x, w, bias),
      [n, in, out, x = if_wanted(w, x.value()), w = w.value()](const auto& dy, auto dx, auto dw,
                                                               auto db) {
        const auto gradient = kernels::matrix(dy.data(), n, out);
        if (dx) {
          const auto to = dx.open();
          kernels::gemm<T, P, T>(gradient, kernels::matrix(w.data(), out, in),
                                 kernels::matrix(to.span.data(), n, in), nullptr, to.store);
        }
        if (dw) {
          const auto to = dw.open();
          kernels::gemm<T, T, P>(gradient.transposed(), kernels::matrix(x.data(), n, in),
                                 kernels::matrix(to.span.data(), out, in), nullptr, to.store);
        }
        if (db) {
          const auto to = db.open();
          kernels::sum_rows<T>(to.span, to.store, dy.span(), out);
        }
      });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
