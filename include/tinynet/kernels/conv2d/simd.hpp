#pragma once

#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/weight_gradient.hpp>

/// The versions over vectors of the build's width.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_simd {

template <Scalar T, Correlation correlation(const Conv2dGeometry&)>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return packed_correlation_bytes<param_t<T>>(correlation(g));
}

template <Scalar T, Correlation correlation(const Conv2dGeometry&)>
void pack(std::byte* packed, std::span<const param_t<T>> w, const Conv2dGeometry& g) {
  pack_correlation(reinterpret_cast<param_t<T>*>(packed), w.data(), correlation(g));
}

template <Scalar T>
void forward(std::span<T> y, std::span<const T> x, const std::byte* packed,
             const Conv2dFusion<T>& fusion, const Conv2dGeometry& g) {
  correlate(y.data(), Store::overwrite, x.data(), reinterpret_cast<const param_t<T>*>(packed),
            fusion, forward_correlation(g));
}

template <Scalar T>
void backward_input(std::span<T> dx, Store store, std::span<const T> dy, const std::byte* packed,
                    const Conv2dGeometry& g) {
  correlate(dx.data(), store, dy.data(), reinterpret_cast<const param_t<T>*>(packed),
            Conv2dFusion<T>{}, backward_correlation(g));
}

/// The input gradient goes through the square of the stride residues, most of them empty where it is
/// larger than windows: 65,535 would take hours.
inline const char* refuses_strides(const Conv2dGeometry& g) {
  return g.stride > 256 && g.stride > std::max(g.kh, g.kw) ? "a stride above 256" : nullptr;
}

template <Scalar T>
void backward_weight(std::span<param_t<T>> dw, Store store, std::span<const T> dy,
                     std::span<const T> x, InputMap map, const Conv2dGeometry& g) {
  weight_gradient(dw.data(), store, dy.data(), x.data(), map, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_simd

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dForward<T> conv2d_forward_simd = {
    Path::simd, accepts_all, conv2d_simd::packed_bytes<T, forward_correlation>,
    conv2d_simd::pack<T, forward_correlation>, conv2d_simd::forward<T>};

template <Scalar T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_simd = {
    Path::simd, conv2d_simd::refuses_strides, conv2d_simd::packed_bytes<T, backward_correlation>,
    conv2d_simd::pack<T, backward_correlation>, conv2d_simd::backward_input<T>};

template <Scalar T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_simd = {
    Path::simd, accepts_all, conv2d_simd::backward_weight<T>};

}  // namespace tinynet::inline TINYNET_ABI::kernels
