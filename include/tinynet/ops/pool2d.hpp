#pragma once

#include <tinynet/kernels/avg_pool2d.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/max_pool2d.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// A square pooling window, in pixels. Without a stride, windows stand side by side.
struct PoolWindow {
  std::int64_t kernel = 2;
  std::int64_t stride = 0;   // 0: as the kernel
  std::int64_t padding = 0;  // at most half of the kernel
};

namespace detail {
inline kernels::Pool2dGeometry pool2d_geometry(const char* op, const Shape& x, PoolWindow window,
                                               const Context& ctx) {
  require_axes(op, x, 4, "(n, h, w, c)", ctx.path);
  require_elements(op, x, ctx.path);
  if (window.stride == 0) window.stride = window.kernel;
  kernels::Pool2dGeometry g{.n = x[0],
                            .h = x[1],
                            .w = x[2],
                            .c = x[3],
                            .kernel = window.kernel,
                            .stride = window.stride,
                            .padding = window.padding};
  const auto fail = [&](const char* what) {
    return ShapeError(Message(op, what)
                          .fact("input", x, "(n, h, w, c)")
                          .fact("kernel", window.kernel)
                          .fact("stride", window.stride)
                          .fact("padding", window.padding)
                          .fact("in", ctx.path));
  };
  if (g.kernel < 1 || g.kernel > 256 || g.stride < 1) {
    throw fail("the kernel is 1 to 256 and the stride at least 1");
  }
  if (g.padding < 0 || 2 * g.padding > g.kernel) throw fail("padding is 0 to half of the kernel");
  g.oh = kernels::window_output(g.h, g.kernel, g.stride, g.padding, 1);
  g.ow = kernels::window_output(g.w, g.kernel, g.stride, g.padding, 1);
  if (g.oh < 1 || g.ow < 1) throw fail("the window does not fit into the image");
  return g;
}
}  // namespace detail

/// The largest value of each window; padding never wins, of equal values the first does.
template <Scalar T>
Variable<T> max_pool2d(const Variable<T>& x,  // [n, h, w, c]
                       PoolWindow window,
                       Context& ctx) {  // -> [n, oh, ow, c]
  const auto g = detail::pool2d_geometry("max_pool2d", x.shape(), window, ctx);
  Tensor<T> y({g.n, g.oh, g.ow, g.c});
  Tensor<std::uint16_t> argmax(ctx.tape && x.node() ? y.shape() : Shape{0});
  kernels::max_pool2d_forward<T>(y.span(), argmax.span(), x.value().span(), g);
  return record(ctx, {"max_pool2d", 0, g.kernel, g.stride}, y, inputs(x),
                [g, argmax](const auto& dy, auto dx) {
                  if (!dx) return;
                  const auto to = dx.open();
                  kernels::max_pool2d_backward<T>(to.span, to.store, dy.span(), argmax.span(), g);
                });
}

/// The mean of each window; padding counts as zeros, as PyTorch's default has it.
template <Scalar T>
Variable<T> avg_pool2d(const Variable<T>& x,  // [n, h, w, c]
                       PoolWindow window,
                       Context& ctx) {  // -> [n, oh, ow, c]
  const auto g = detail::pool2d_geometry("avg_pool2d", x.shape(), window, ctx);
  Tensor<T> y({g.n, g.oh, g.ow, g.c});
  kernels::avg_pool2d_forward<T>(y.span(), x.value().span(), g);
  return record(ctx, {"avg_pool2d", 0, g.kernel, g.stride}, y, inputs(x),
                [g](const auto& dy, auto dx) {
                  if (!dx) return;
                  const auto to = dx.open();
                  kernels::avg_pool2d_backward<T>(to.span, to.store, dy.span(), g);
                });
}

/// The mean of each channel of each image.
template <Scalar T>
Variable<T> global_average_pool(const Variable<T>& x,  // [n, h, w, c]
                                Context& ctx) {        // -> [n, c]
  require_axes("global_average_pool", x.shape(), 4, "(n, h, w, c)", ctx.path);
  require_elements("global_average_pool", x.shape(), ctx.path);
  const std::int64_t n = x.shape()[0], pixels = x.shape()[1] * x.shape()[2], c = x.shape()[3];
  Tensor<T> y({n, c});
  kernels::global_average_pool_forward<T>(y.span(), x.value().span(), pixels, c);
  return record(ctx, {"global_average_pool"}, y, inputs(x), [pixels, c](const auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open();
    kernels::global_average_pool_backward<T>(to.span, to.store, dy.span(), pixels, c);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
