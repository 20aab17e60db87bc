#pragma once

#include <algorithm>

#include <tinynet/kernels/depthwise_conv2d.hpp>
#include <tinynet/kernels/reduce.hpp>
#include <tinynet/ops/deferred.hpp>
#include <tinynet/ops/window.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// Filters every channel by its own window.
///   y[n, oh, ow, c] = bias[c] + sum_{kh, kw} x[n, oh*s - p + kh*d, ow*s - p + kw*d, c] * w[c, kh, kw, 0]
/// `window.groups` is taken to be the number of channels. Throws ShapeError as conv2d does.
template <Scalar T>
Variable<T> depthwise_conv2d(const Deferred<T>& deferred,     // [n, h, w, c]
                             const Weight<param_t<T>>& w,     // [c, kh, kw, 1]
                             const Weight<param_t<T>>& bias,  // [c], or absent
                             Window window, Context& ctx) {   // -> [n, oh, ow, c]
  const auto& [x, map, state] = deferred;
  if (w.shape().axes() == 4) window.groups = w.shape()[0];
  if (w.shape().axes() == 4 && w.shape()[3] != 1) {
    throw ShapeError(Message("depthwise_conv2d", "a channel has one window")
                         .fact("expected", "[c, kh, kw, 1]")
                         .fact("weight", w.shape())
                         .fact("in", where(ctx, w))
                         .hint("conv2d takes windows over several channels: set its groups"));
  }
  const auto g = conv2d_geometry("depthwise_conv2d", x.shape(), w, bias, window, ctx);
  Tensor<T> y({g.n, g.oh, g.ow, g.oc});
  kernels::depthwise_forward<T>(g).run(y.span(), x.value().span(), w.span(), bias.span(), map, g);
  const Op op{"depthwise_conv2d", g.macs(), std::max(g.kh, g.kw), g.stride, g.dilation};
  return record(
      ctx, op, y, inputs(x, w, bias),
      [g, x = if_wanted(w, x.value()), w = w.value(), map = map, state = state](
          const auto& dy, auto dx, auto dw, auto db) {
        if (dx && dw) {
          const auto to = dx.open();
          const auto weight = dw.open();
          kernels::depthwise_backward<T>(g).run(to.span, to.store, weight.span, weight.store,
                                                dy.span(), x.span(), map, w.span(), g);
        } else if (dx) {
          const auto to = dx.open();
          kernels::depthwise_backward_input<T>(g).run(to.span, to.store, dy.span(), w.span(), g);
        } else if (dw) {
          const auto to = dw.open();
          kernels::depthwise_backward_weight<T>(g).run(to.span, to.store, dy.span(), x.span(), map,
                                                       g);
        }
        if (db) {
          const auto to = db.open();
          kernels::sum_rows<T>(to.span, to.store, dy.span(), g.oc);
        }
      });
}

template <Scalar T>
Variable<T> depthwise_conv2d(const Variable<T>& x, const Weight<param_t<T>>& w,
                             const Weight<param_t<T>>& bias, Window window, Context& ctx) {
  return depthwise_conv2d(Deferred<T>{x}, w, bias, window, ctx);
}

/// Without bias.
template <Scalar T>
Variable<T> depthwise_conv2d(const Variable<T>& x, const Weight<param_t<T>>& w, Window window,
                             Context& ctx) {
  return depthwise_conv2d(x, w, {}, window, ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::ops
