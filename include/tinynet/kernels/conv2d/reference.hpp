#pragma once

#include <algorithm>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>

/// The definition of the three passes: plain loops in the order of the formula, sums in
/// `accumulate_t`. Everything else in this folder is compared with it.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_reference {

/// Calls f(output element, input element, weight element) for each product of the formula.
template <class F>
void for_each_product(const Conv2dGeometry& g, F f) {
  const auto group_in = g.ic / g.groups, group_out = g.oc / g.groups;
  for (std::int64_t n = 0; n < g.n; ++n)
    for (std::int64_t oh = 0; oh < g.oh; ++oh)
      for (std::int64_t ow = 0; ow < g.ow; ++ow)
        for (std::int64_t oc = 0; oc < g.oc; ++oc)
          for (std::int64_t kh = 0; kh < g.kh; ++kh)
            for (std::int64_t kw = 0; kw < g.kw; ++kw) {
              const auto ih = oh * g.stride - g.padding + kh * g.dilation;
              const auto iw = ow * g.stride - g.padding + kw * g.dilation;
              if (ih < 0 || ih >= g.h || iw < 0 || iw >= g.w) continue;
              const auto y = ((n * g.oh + oh) * g.ow + ow) * g.oc + oc;
              const auto x = ((n * g.h + ih) * g.w + iw) * g.ic + oc / group_out * group_in;
              const auto w = ((oc * g.kh + kh) * g.kw + kw) * group_in;
              for (std::int64_t ic = 0; ic < group_in; ++ic) f(y, x + ic, w + ic);
            }
}

template <class A>
void add_forward(A* y, const A* x, const A* w, const Conv2dGeometry& g) {
  for_each_product(g, [=](auto i, auto j, auto k) { y[i] += x[j] * w[k]; });
}

template <class A>
void add_backward_input(A* dx, const A* dy, const A* w, const Conv2dGeometry& g) {
  for_each_product(g, [=](auto i, auto j, auto k) { dx[j] += dy[i] * w[k]; });
}

template <class A>
void add_backward_weight(A* dw, const A* dy, const A* x, const Conv2dGeometry& g) {
  for_each_product(g, [=](auto i, auto j, auto k) { dw[k] += dy[i] * x[j]; });
}

template <Scalar T>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return g.oc * g.kh * g.kw * (g.ic / g.groups) * std::int64_t{sizeof(param_t<T>)};
}

/// A plain copy.
template <Scalar T>
void pack(std::byte* packed, std::span<const param_t<T>> w, const Conv2dGeometry&) {
  std::copy(w.begin(), w.end(), reinterpret_cast<param_t<T>*>(packed));
}

/// A widened copy.
template <class T>
std::span<accumulate_t<T>> widened(std::span<const T> from, Scratch& scratch) {
  const auto to = scratch.take<accumulate_t<T>>(static_cast<std::int64_t>(from.size()));
  std::copy(from.begin(), from.end(), to.begin());
  return to;
}

/// A copy that is mapped, if there is a map, and widened.
template <class T>
std::span<accumulate_t<T>> widened(std::span<const T> from, InputMap map, std::int64_t channels,
                                   Scratch& scratch) {
  if (!map) return widened(from, scratch);
  const auto to = scratch.take<T>(std::ssize(from));
  map(to.data(), from.data(), std::ssize(from) / channels);
  return widened(std::span<const T>(to), scratch);
}

/// Sums of y [rows, oc] and of its squares, around the center.
template <Scalar T>
void add_moments(const OutputMoments<T>& moments, std::span<const T> y, std::int64_t oc) {
  std::fill(moments.sums.begin(), moments.sums.end(), 0.0);
  for (std::int64_t i = 0; !moments.sums.empty() && i < std::ssize(y); ++i) {
    const auto ch = i % oc;
    const double d = double{y[i]} - (moments.center.empty() ? 0.0 : double{moments.center[ch]});
    moments.sums[ch] += d;
    moments.sums[oc + ch] += d * d;
  }
}

template <class A>
std::span<A> zeros(std::size_t count, Scratch& scratch) {
  const auto sums = scratch.take<A>(static_cast<std::int64_t>(count));
  std::fill(sums.begin(), sums.end(), A(0));
  return sums;
}

/// Writes sums of type `A` as `T`, or adds them to what stands there.
template <class T, class A>
void write(std::span<T> to, Store store, std::span<A> sums) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i] = static_cast<T>(store == Store::add ? static_cast<A>(to[i]) + sums[i] : sums[i]);
  }
}

template <Scalar T>
void forward(std::span<T> y, std::span<const T> x, const std::byte* packed,
             const Conv2dFusion<T>& fusion, const Conv2dGeometry& g) {
  Scratch scratch;
  const auto sums = zeros<accumulate_t<T>>(y.size(), scratch);
  const auto bias = fusion.bias;
  for (std::size_t i = 0; i < sums.size() && !bias.empty(); ++i) sums[i] = bias[i % bias.size()];
  add_forward<accumulate_t<T>>(sums.data(), widened(x, fusion.map, g.ic, scratch).data(),
                               reinterpret_cast<const param_t<T>*>(packed), g);
  write(y, Store::overwrite, sums);
  add_moments<T>(fusion.moments, y, g.oc);
}

template <Scalar T>
void backward_input(std::span<T> dx, Store store, std::span<const T> dy, const std::byte* packed,
                    const Conv2dGeometry& g) {
  Scratch scratch;
  const auto sums = zeros<accumulate_t<T>>(dx.size(), scratch);
  add_backward_input<accumulate_t<T>>(sums.data(), widened(dy, scratch).data(),
                                      reinterpret_cast<const param_t<T>*>(packed), g);
  write(dx, store, sums);
}

template <Scalar T>
void backward_weight(std::span<param_t<T>> dw, Store store, std::span<const T> dy,
                     std::span<const T> x, InputMap map, const Conv2dGeometry& g) {
  Scratch scratch;
  const auto sums = zeros<accumulate_t<T>>(dw.size(), scratch);
  add_backward_weight<accumulate_t<T>>(sums.data(), widened(dy, scratch).data(),
                                       widened(x, map, g.ic, scratch).data(), g);
  write(dw, store, sums);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_reference

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dForward<T> conv2d_forward_reference = {
    Path::reference, accepts_all, conv2d_reference::packed_bytes<T>, conv2d_reference::pack<T>,
    conv2d_reference::forward<T>};

template <Scalar T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_reference = {
    Path::reference, accepts_all, conv2d_reference::packed_bytes<T>, conv2d_reference::pack<T>,
    conv2d_reference::backward_input<T>};

template <Scalar T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_reference = {
    Path::reference, accepts_all, conv2d_reference::backward_weight<T>};

}  // namespace tinynet::inline TINYNET_ABI::kernels
