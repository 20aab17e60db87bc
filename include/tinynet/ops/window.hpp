#pragma once

#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/ops/check.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// How a convolution's window moves over the image; square, in pixels.
struct Window {
  std::int64_t stride = 1;
  std::int64_t padding = 0;   // zeros added on each side
  std::int64_t dilation = 1;  // pixels between taps
  std::int64_t groups = 1;
};

/// The most that each of them may be. conv2d tells packed forms of its weights apart by them, 16 bits
/// each (`detail::pack_variant`).
inline constexpr std::int64_t largest_window_setting = 65535;

/// Checks everything a convolution needs and works out its sizes.
template <class P>
kernels::Conv2dGeometry conv2d_geometry(const char* op, const Shape& x, const Weight<P>& weight,
                                        const Weight<P>& bias, const Window& window,
                                        const Context& ctx) {
  const auto path = where(ctx, weight);
  const auto& w = weight.shape();
  require_axes(op, x, 4, "(n, h, w, ic)", path);
  const auto* channels =
      std::string_view(op) == "conv2d" ? "Conv2dOptions::in" : "DepthwiseConv2dOptions::channels";
  const auto fail = [&](const Text& what) {
    return Message(op, what)
        .fact("input", x, "(n, h, w, ic)")
        .fact("weight", w, "(oc, kh, kw, ic / groups)")
        .fact("in", path);
  };
  if (w.axes() != 4) throw ShapeError(fail("the weight needs 4 axes"));
  if (w.elements() == 0) throw ShapeError(fail("the weight has no elements"));
  const auto refuse = [&](const Text& what) {
    throw ShapeError(fail(what)
                         .fact("stride", window.stride)
                         .fact("padding", window.padding)
                         .fact("dilation", window.dilation)
                         .fact("groups", window.groups));
  };
  if (window.stride < 1 || window.dilation < 1 || window.groups < 1 || window.padding < 0) {
    refuse("stride, dilation and groups are at least 1, padding at least 0");
  }
  if (std::max({window.stride, window.padding, window.dilation}) > largest_window_setting ||
      (window.groups > largest_window_setting && std::string_view(op) == "conv2d")) {
    refuse({"stride, padding, dilation and groups are at most ", largest_window_setting});
  }
  if (x[3] != w[3] * window.groups) {
    throw ShapeError(fail({"input has ", x[3], " channels, weight expects ", w[3] * window.groups})
                         .hint({"set ", channels, " to ", x[3]}));
  }
  if (w[0] % window.groups != 0) {
    throw ShapeError(
        fail({w[0], " output channels cannot be shared by ", window.groups, " groups"}));
  }
  if (bias && bias.shape() != Shape{w[0]}) {
    throw ShapeError(fail("the bias does not fit the weight").fact("bias", bias.shape()));
  }
  kernels::Conv2dGeometry g{.n = x[0],
                            .h = x[1],
                            .w = x[2],
                            .ic = x[3],
                            .oc = w[0],
                            .kh = w[1],
                            .kw = w[2],
                            .stride = window.stride,
                            .padding = window.padding,
                            .dilation = window.dilation,
                            .groups = window.groups};
  g.oh = kernels::window_output(g.h, g.kh, g.stride, g.padding, g.dilation);
  g.ow = kernels::window_output(g.w, g.kw, g.stride, g.padding, g.dilation);
  require_elements(op, x, path);
  if (g.oh < 1 || g.ow < 1) {
    throw ShapeError(fail("the window does not fit into the image")
                         .fact("padding", window.padding)
                         .fact("dilation", window.dilation)
                         .hint("pad more, or pool less before this layer"));
  }
  return g;
}

}  // namespace tinynet::inline TINYNET_ABI::ops
