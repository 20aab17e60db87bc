#pragma once

#include <array>

#include <tinynet/kernels/conv2d/amx.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/conv2d/reference.hpp>
#include <tinynet/kernels/conv2d/simd.hpp>

/// Convolution: the versions of its three passes, fastest first, and the choice among them.
namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr std::array conv2d_forward_versions = {
    conv2d_forward_simd<T>,
    conv2d_forward_reference<T>,
};
#ifdef TINYNET_AMX
template <>
inline constexpr std::array conv2d_forward_versions<bfloat16> = {
    conv2d_forward_amx,
    conv2d_forward_simd<bfloat16>,
    conv2d_forward_reference<bfloat16>,
};
#endif

template <Scalar T>
inline constexpr std::array conv2d_backward_input_versions = {
    conv2d_backward_input_simd<T>,
    conv2d_backward_input_reference<T>,
};
#ifdef TINYNET_AMX
template <>
inline constexpr std::array conv2d_backward_input_versions<bfloat16> = {
    conv2d_backward_input_amx,
    conv2d_backward_input_simd<bfloat16>,
    conv2d_backward_input_reference<bfloat16>,
};
#endif

template <Scalar T>
inline constexpr std::array conv2d_backward_weight_versions = {
    conv2d_backward_weight_simd<T>,
    conv2d_backward_weight_reference<T>,
};
#ifdef TINYNET_AMX
template <>
inline constexpr std::array conv2d_backward_weight_versions<bfloat16> = {
    conv2d_backward_weight_amx,
    conv2d_backward_weight_simd<bfloat16>,
    conv2d_backward_weight_reference<bfloat16>,
};
#endif

/// The version that serves this shape; its `packed_bytes`, `pack` and `run` belong together.
template <Scalar T>
const Conv2dForward<T>& conv2d_forward(const Conv2dGeometry& g) {
  return choose("conv2d forward", conv2d_forward_versions<T>, g);
}

template <Scalar T>
const Conv2dBackwardInput<T>& conv2d_backward_input(const Conv2dGeometry& g) {
  return choose("conv2d backward input", conv2d_backward_input_versions<T>, g);
}

template <Scalar T>
const Conv2dBackwardWeight<T>& conv2d_backward_weight(const Conv2dGeometry& g) {
  return choose("conv2d backward weight", conv2d_backward_weight_versions<T>, g);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
