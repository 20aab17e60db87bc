#pragma once

#include <tinynet/kernels/dropout.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

namespace detail {

inline void require_dropping(const char* name, double p, const std::string& path) {
  if (p >= 0 && p < 1) return;
  throw ShapeError(Message(name, "the probability of dropping is at least 0 and below 1")
                       .fact("came", p)
                       .fact("in", path));
}

/// Drops blocks: `kernel(y, x, keep, key, store)` writes the kept ones, divided by `keep`. The mask is not
/// stored: the backward pass draws it again from the same key.
template <Scalar T, class Kernel>
Variable<T> drop(const char* name, const Variable<T>& x, double p, Context& ctx, Kernel kernel) {
  require_dropping(name, p, ctx.path);
  if (!ctx.is_training() || p == 0) return x;
  const auto key = ctx.draw();
  const double keep = 1 - p;
  Tensor<T> y(x.shape());
  kernel(y.span(), x.value().span(), keep, key, Store::overwrite);
  return record(ctx, {name}, y, inputs(x), [kernel, keep, key](auto& dy, auto dx) {
    if (!dx) return;
    const auto to = dx.open_over(dy);
    kernel(to.span, std::as_const(dy).span(), keep, key, to.store);
  });
}

}  // namespace detail

/// Sets each element to zero with probability p in training, and divides the others by 1 - p
/// (Srivastava et al. 2014). In evaluation it does nothing.
template <Scalar T>
Variable<T> dropout(const Variable<T>& x, double p, Context& ctx) {
  return detail::drop("dropout", x, p, ctx,
                      [](auto y, auto in, double keep, random::Key key, Store store) {
                        kernels::dropout<T>(y, in, keep, key, store);
                      });
}

/// Drops whole channels of an image [n, h, w, c], each with probability p: neighbouring pixels of a
/// channel are so alike that dropping them one by one hides nothing (Tompson et al. 2015).
template <Scalar T>
Variable<T> dropout2d(const Variable<T>& x, double p, Context& ctx) {
  require_axes("dropout2d", x.shape(), 4, "(n, h, w, c)", ctx.path);
  require_elements("dropout2d", x.shape(), ctx.path);
  const std::int64_t pixels = x.shape()[1] * x.shape()[2], c = x.shape()[3];
  return detail::drop("dropout2d", x, p, ctx,
                      [pixels, c](auto y, auto in, double keep, random::Key key, Store store) {
                        kernels::dropout2d<T>(y, in, keep, key, pixels, c, store);
                      });
}

/// Drops whole samples of a residual branch, each with probability p (Huang et al. 2016).
template <Scalar T>
Variable<T> drop_path(const Variable<T>& x, double p, Context& ctx) {
  require_elements("drop_path", x.shape(), ctx.path);
  const std::int64_t block = x.value().size() / x.shape()[0];
  return detail::drop("drop_path", x, p, ctx,
                      [block](auto y, auto in, double keep, random::Key key, Store store) {
                        kernels::drop_path<T>(y, in, keep, key, block, store);
                      });
}

}  // namespace tinynet::inline TINYNET_ABI::ops
