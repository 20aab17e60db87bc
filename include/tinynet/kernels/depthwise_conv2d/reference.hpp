#pragma once

#include <algorithm>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/depthwise_conv2d/contract.hpp>

/// The definition of the depthwise convolution and its gradients: one sum per element.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

/// Calls f(oh, ow, ih, iw, kh, kw) for each output pixel and tap that reads inside the image.
template <class F>
void for_each_tap(const Conv2dGeometry& g, F&& f) {
  for (std::int64_t oh = 0; oh < g.oh; ++oh) {
    for (std::int64_t ow = 0; ow < g.ow; ++ow) {
      for (std::int64_t kh = 0; kh < g.kh; ++kh) {
        for (std::int64_t kw = 0; kw < g.kw; ++kw) {
          const auto ih = oh * g.stride - g.padding + kh * g.dilation;
          const auto iw = ow * g.stride - g.padding + kw * g.dilation;
          if (ih >= 0 && ih < g.h && iw >= 0 && iw < g.w) f(oh, ow, ih, iw, kh, kw);
        }
      }
    }
  }
}

/// The map of `x`, images of c channels.
template <Scalar T>
std::span<accumulate_t<T>> mapped_input(std::span<const T> x, InputMap map, std::int64_t c,
                                        Scratch& scratch) {
  const auto to = scratch.take<accumulate_t<T>>(std::ssize(x));
  if (map) map.unrounded(to.data(), x.data(), std::ssize(x) / c);
  else std::copy(x.begin(), x.end(), to.begin());
  return to;
}

}  // namespace detail

template <Scalar T>
void depthwise_forward_reference(std::span<T> y, std::span<const T> x,
                                 std::span<const param_t<T>> w, std::span<const param_t<T>> bias,
                                 InputMap map, const Conv2dGeometry& g) {
  using X = accumulate_t<T>;
  Scratch scratch;
  const auto sums = scratch.take<X>(g.oh * g.ow);
  const auto images = detail::mapped_input(x, map, g.ic, scratch);
  for (std::int64_t n = 0; n < g.n; ++n) {
    const X* image = images.data() + n * g.h * g.w * g.ic;
    T* result = y.data() + n * g.oh * g.ow * g.oc;
    for (std::int64_t c = 0; c < g.oc; ++c) {
      const X* window = w.data() + c * g.kh * g.kw;
      std::fill(sums.begin(), sums.end(), bias.empty() ? X(0) : bias[c]);
      detail::for_each_tap(g, [&](auto oh, auto ow, auto ih, auto iw, auto kh, auto kw) {
        sums[oh * g.ow + ow] += image[(ih * g.w + iw) * g.ic + c] * window[kh * g.kw + kw];
      });
      for (std::int64_t i = 0; i < g.oh * g.ow; ++i) result[i * g.oc + c] = static_cast<T>(sums[i]);
    }
  }
}

template <Scalar T>
void depthwise_backward_input_reference(std::span<T> dx, Store store, std::span<const T> dy,
                                        std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  using X = accumulate_t<T>;
  Scratch scratch;
  const auto sums = scratch.take<X>(g.h * g.w);
  for (std::int64_t n = 0; n < g.n; ++n) {
    const T* gradient = dy.data() + n * g.oh * g.ow * g.oc;
    T* result = dx.data() + n * g.h * g.w * g.ic;
    for (std::int64_t c = 0; c < g.ic; ++c) {
      const X* window = w.data() + c * g.kh * g.kw;
      std::fill(sums.begin(), sums.end(), X(0));
      detail::for_each_tap(g, [&](auto oh, auto ow, auto ih, auto iw, auto kh, auto kw) {
        sums[ih * g.w + iw] +=
            static_cast<X>(gradient[(oh * g.ow + ow) * g.oc + c]) * window[kh * g.kw + kw];
      });
      for (std::int64_t i = 0; i < g.h * g.w; ++i) {
        T& to = result[i * g.ic + c];
        to = static_cast<T>(store == Store::add ? static_cast<X>(to) + sums[i] : sums[i]);
      }
    }
  }
}

template <Scalar T>
void depthwise_backward_weight_reference(std::span<param_t<T>> dw, Store store,
                                         std::span<const T> dy, std::span<const T> x, InputMap map,
                                         const Conv2dGeometry& g) {
  using X = accumulate_t<T>;
  Scratch scratch;
  const auto sums = scratch.take<X>(g.kh * g.kw);
  const auto images = detail::mapped_input(x, map, g.ic, scratch);
  for (std::int64_t c = 0; c < g.oc; ++c) {
    std::fill(sums.begin(), sums.end(), X(0));
    for (std::int64_t n = 0; n < g.n; ++n) {
      const X* image = images.data() + n * g.h * g.w * g.ic;
      const T* gradient = dy.data() + n * g.oh * g.ow * g.oc;
      detail::for_each_tap(g, [&](auto oh, auto ow, auto ih, auto iw, auto kh, auto kw) {
        sums[kh * g.kw + kw] += static_cast<X>(gradient[(oh * g.ow + ow) * g.oc + c]) *
                                image[(ih * g.w + iw) * g.ic + c];
      });
    }
    for (std::int64_t i = 0; i < g.kh * g.kw; ++i) {
      X& to = dw[c * g.kh * g.kw + i];
      to = store == Store::add ? to + sums[i] : sums[i];
    }
  }
}

template <Scalar T>
void depthwise_backward_reference(std::span<T> dx, Store dx_store, std::span<param_t<T>> dw,
                                  Store dw_store, std::span<const T> dy, std::span<const T> x,
                                  InputMap map, std::span<const param_t<T>> w,
                                  const Conv2dGeometry& g) {
  depthwise_backward_input_reference<T>(dx, dx_store, dy, w, g);
  depthwise_backward_weight_reference<T>(dw, dw_store, dy, x, map, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
