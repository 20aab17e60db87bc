#pragma once

#include <array>

#include <tinynet/kernels/conv2d/amx_pixels.hpp>
#include <tinynet/kernels/conv2d/amx_pixels_gradient.hpp>
#include <tinynet/kernels/conv2d/avx512_pixels.hpp>
#include <tinynet/kernels/conv2d/avx512_pixels_gradient.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/conv2d/reference.hpp>
#include <tinynet/kernels/conv2d/simd.hpp>
#include <tinynet/kernels/conv2d/tiles.hpp>

/// Convolution: the versions of its three passes, fastest first, and the choice among them.
namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr std::array conv2d_forward_versions = {
    conv2d_forward_simd<T>,
    conv2d_forward_reference<T>,
};
template <Scalar T>
inline constexpr std::array conv2d_backward_input_versions = {
    conv2d_backward_input_simd<T>,
    conv2d_backward_input_reference<T>,
};
template <Scalar T>
inline constexpr std::array conv2d_backward_weight_versions = {
    conv2d_backward_weight_simd<T>,
    conv2d_backward_weight_reference<T>,
};

#ifdef TINYNET_TILES
template <Scalar16 T>
inline constexpr std::array conv2d_forward_versions<T> = {
    conv2d_forward_amx<T>,
    conv2d_forward_simd<T>,
    conv2d_forward_reference<T>,
};
template <Scalar16 T>
inline constexpr std::array conv2d_backward_input_versions<T> = {
    conv2d_backward_input_amx<T>,
    conv2d_backward_input_simd<T>,
    conv2d_backward_input_reference<T>,
};
template <Scalar16 T>
inline constexpr std::array conv2d_backward_weight_versions<T> = {
    conv2d_backward_weight_amx<T>,
    conv2d_backward_weight_simd<T>,
    conv2d_backward_weight_reference<T>,
};

// Dot products of vectors take bfloat16 only.
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constexpr std::array conv2d_forward_versions<T> = {
    conv2d_forward_amx_pixels<T>, conv2d_forward_amx<T>,  conv2d_forward_avx512_pixels<T>,
    conv2d_forward_avx512<T>,     conv2d_forward_simd<T>, conv2d_forward_reference<T>,
};
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constexpr std::array conv2d_backward_input_versions<T> = {
    conv2d_backward_input_amx_pixels<T>,    conv2d_backward_input_amx<T>,
    conv2d_backward_input_avx512_pixels<T>, conv2d_backward_input_avx512<T>,
    conv2d_backward_input_simd<T>,          conv2d_backward_input_reference<T>,
};
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constexpr std::array conv2d_backward_weight_versions<T> = {
    conv2d_backward_weight_amx_pixels<T>,    conv2d_backward_weight_amx<T>,
    conv2d_backward_weight_avx512_pixels<T>, conv2d_backward_weight_avx512<T>,
    conv2d_backward_weight_simd<T>,          conv2d_backward_weight_reference<T>,
};

// Float goes through tiles as sums of pieces where <tinynet/float_tiles.hpp> is included, which puts
// its versions into the first places: others need not wait for them to be compiled.
inline const char* refuses_float_tiles(const Conv2dGeometry&) {
  return "tinynet/float_tiles.hpp is not included";
}
template <>
inline constinit std::array conv2d_forward_versions<float> = {
    Conv2dForward<float>{Path::amx, refuses_float_tiles, nullptr, nullptr, nullptr},
    conv2d_forward_simd<float>,
    conv2d_forward_reference<float>,
};
template <>
inline constinit std::array conv2d_backward_input_versions<float> = {
    Conv2dBackwardInput<float>{Path::amx, refuses_float_tiles, nullptr, nullptr, nullptr},
    conv2d_backward_input_simd<float>,
    conv2d_backward_input_reference<float>,
};
template <>
inline constinit std::array conv2d_backward_weight_versions<float> = {
    Conv2dBackwardWeight<float>{Path::amx, refuses_float_tiles, nullptr},
    conv2d_backward_weight_simd<float>,
    conv2d_backward_weight_reference<float>,
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
