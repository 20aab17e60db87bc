#pragma once

#include <tinynet/kernels/softmax.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// exp(x) / sum exp(x) over the last axis.
template <Scalar T>
Variable<T> softmax(const Variable<T>& x, Context& ctx) {
  require_elements("softmax", x.shape(), ctx.path);
  const auto k = x.shape()[-1];
  Tensor<T> y(x.shape());
  kernels::softmax_forward<T>(y.span(), x.value().span(), k);
  return record(ctx, {"softmax"}, y, inputs(x), [k, y](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::softmax_backward<T>(to.span, to.store, dy.span(), y.span(), k);
  });
}

/// log(softmax(x)) over the last axis, without forming exp of anything positive.
template <Scalar T>
Variable<T> log_softmax(const Variable<T>& x, Context& ctx) {
  require_elements("log_softmax", x.shape(), ctx.path);
  const auto k = x.shape()[-1];
  Tensor<T> y(x.shape());
  kernels::log_softmax_forward<T>(y.span(), x.value().span(), k);
  return record(ctx, {"log_softmax"}, y, inputs(x), [k, y](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::log_softmax_backward<T>(to.span, to.store, dy.span(), y.span(), k);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
