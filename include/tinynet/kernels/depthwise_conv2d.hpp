#pragma once

#include <array>

#include <tinynet/kernels/depthwise_conv2d/backward.hpp>
#include <tinynet/kernels/depthwise_conv2d/contract.hpp>
#include <tinynet/kernels/depthwise_conv2d/reference.hpp>
#include <tinynet/kernels/depthwise_conv2d/simd.hpp>

namespace tinynet::inline TINYNET_ABI::kernels {

/// The versions of each pass, fastest first.
template <Scalar T>
inline constexpr std::array depthwise_forward_versions = {
    DepthwiseForward<T>{Path::simd, accepts_all, depthwise_forward_simd<T>},
    DepthwiseForward<T>{Path::reference, accepts_all, depthwise_forward_reference<T>},
};

template <Scalar T>
inline constexpr std::array depthwise_backward_input_versions = {
    DepthwiseBackwardInput<T>{Path::simd, accepts_all, depthwise_backward_input_simd<T>},
    DepthwiseBackwardInput<T>{Path::reference, accepts_all, depthwise_backward_input_reference<T>},
};

template <Scalar T>
inline constexpr std::array depthwise_backward_weight_versions = {
    DepthwiseBackwardWeight<T>{Path::simd, accepts_all, depthwise_backward_weight_simd<T>},
    DepthwiseBackwardWeight<T>{Path::reference, accepts_all,
                               depthwise_backward_weight_reference<T>},
};

/// Of both gradients.
template <Scalar T>
inline constexpr std::array depthwise_backward_versions = {
    DepthwiseBackward<T>{Path::simd, accepts_all, depthwise_backward_simd<T>},
    DepthwiseBackward<T>{Path::reference, accepts_all, depthwise_backward_reference<T>},
};

/// The version to run for a geometry: `depthwise_forward<T>(g).run(y, x, w, bias, map, g)`.
template <Scalar T>
const DepthwiseForward<T>& depthwise_forward(const Conv2dGeometry& g) {
  return choose("depthwise_forward", depthwise_forward_versions<T>, g);
}

template <Scalar T>
const DepthwiseBackwardInput<T>& depthwise_backward_input(const Conv2dGeometry& g) {
  return choose("depthwise_backward_input", depthwise_backward_input_versions<T>, g);
}

template <Scalar T>
const DepthwiseBackwardWeight<T>& depthwise_backward_weight(const Conv2dGeometry& g) {
  return choose("depthwise_backward_weight", depthwise_backward_weight_versions<T>, g);
}

template <Scalar T>
const DepthwiseBackward<T>& depthwise_backward(const Conv2dGeometry& g) {
  return choose("depthwise_backward", depthwise_backward_versions<T>, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
