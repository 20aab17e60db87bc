#pragma once

#include <algorithm>

#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/reduce.hpp>
#include <tinynet/ops/check.hpp>
#include <tinynet/ops/deferred.hpp>
#include <tinynet/ops/window.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

namespace detail {
/// Names what shapes a packed form: the same weights under another stride are packed apart.
inline std::uint64_t pack_variant(const kernels::Conv2dGeometry& g) {
  return static_cast<std::uint64_t>(g.stride) | static_cast<std::uint64_t>(g.padding) << 16 |
         static_cast<std::uint64_t>(g.dilation) << 32 | static_cast<std::uint64_t>(g.groups) << 48;
}
/// The kernels here are made for many channels a group. Going over to the depthwise ones behind the
/// caller's back would compile them into every program: a tenth of the time of a small one.
inline void note_depthwise(const kernels::Conv2dGeometry& g) {
  if (g.groups == 1 || g.groups != g.ic || g.groups != g.oc || !tracing()) return;
  trace("conv2d: one channel a group, depthwise_conv2d computes the same 10 to 30 times faster");
}
}  // namespace detail

/// Two-dimensional cross-correlation, channels last. With one channel a group, depthwise_conv2d is
/// the same function, 10 to 30 times faster.
///   y[n, oh, ow, oc] = bias[oc] + sum_{kh, kw, ic} x[n, oh*s - p + kh*d, ow*s - p + kw*d, ic]
///                                                  * w[oc, kh, kw, ic]
/// with stride s, padding p, dilation d. Where `moments` is given, it becomes the sums over all pixels
/// of y and of its square [2, oc], formed on the way, for ops::batch_norm_act.
/// Throws ShapeError if the channels differ or the window does not fit.
template <Scalar T>
Variable<T> conv2d(const Deferred<T>& deferred,     // [n, h, w, ic]
                   const Weight<param_t<T>>& w,     // [oc, kh, kw, ic / groups]
                   const Weight<param_t<T>>& bias,  // [oc], or absent
                   Window window,                   // stride, padding, dilation, groups
                   Context& ctx,                    // -> [n, oh, ow, oc]
                   Tensor<double>* moments = nullptr) {
  const auto& [x, map, state] = deferred;
  const auto g = conv2d_geometry("conv2d", x.shape(), w, bias, window, ctx);
  detail::note_depthwise(g);
  Tensor<T> y({g.n, g.oh, g.ow, g.oc});
  const auto& forward = kernels::conv2d_forward<T>(g);
  Buffer storage;
  const auto* packed = w.packed(&forward, detail::pack_variant(g), forward.packed_bytes(g), storage,
                                [&](std::byte* to) { forward.pack(to, w.span(), g); });
  if (moments) *moments = Tensor<double>({2, g.oc});
  forward.run(y.span(), x.value().span(), packed,
              {.bias = bias ? bias.span() : std::span<const param_t<T>>{},
               .map = map,
               .moments = {{}, moments ? moments->span() : std::span<double>()}},
              g);
  const Op op{"conv2d", g.macs(), std::max(g.kh, g.kw), g.stride, g.dilation};
  return record(ctx, op, y, inputs(x, w, bias),
                [g, x = if_wanted(w, x.value()), w, map = map, state = state](
                    const auto& dy, auto dx, auto dw, auto db) {
                  if (dx) {
                    const auto to = dx.open();
                    const auto& kernel = kernels::conv2d_backward_input<T>(g);
                    Buffer turned;
                    const auto* weights =
                        w.packed(&kernel, detail::pack_variant(g), kernel.packed_bytes(g), turned,
                                 [&](std::byte* p) { kernel.pack(p, w.span(), g); });
                    kernel.run(to.span, to.store, dy.span(), weights, g);
                  }
                  if (dw) {
                    const auto to = dw.open();
                    kernels::conv2d_backward_weight<T>(g).run(to.span, to.store, dy.span(),
                                                              x.span(), map, g);
                  }
                  if (db) {
                    const auto to = db.open();
                    kernels::sum_rows<T>(to.span, to.store, dy.span(), g.oc);
                  }
                });
}

template <Scalar T>
Variable<T> conv2d(const Variable<T>& x, const Weight<param_t<T>>& w,
                   const Weight<param_t<T>>& bias, Window window, Context& ctx,
                   Tensor<double>* moments = nullptr) {
  return conv2d(Deferred<T>{x}, w, bias, window, ctx, moments);
}

/// Without bias.
template <Scalar T>
Variable<T> conv2d(const Variable<T>& x, const Weight<param_t<T>>& w, Window window, Context& ctx) {
  return conv2d(x, w, {}, window, ctx);
}

}  // namespace tinynet::inline TINYNET_ABI::ops
