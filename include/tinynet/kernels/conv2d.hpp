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

// Two ways come with headers of their own, which put them into the places kept for them here: who does not
// ask for them need not wait for them to be compiled.
inline const char* lacks_winograd(const Conv2dGeometry&) {
  return "tinynet/winograd.hpp is not included";
}
inline const char* lacks_float_tiles(const Conv2dGeometry&) {
  return "tinynet/float_tiles.hpp is not included";
}
template <class Version>
inline constexpr Version conv2d_winograd_place = {
    .path = Path::simd, .refuses = lacks_winograd, .way = "simd by Winograd"};
template <class Version>
inline constexpr Version conv2d_float_tiles_place = {Path::amx, lacks_float_tiles};

/// Puts a version into the place that refuses with `lacks`, if these versions keep one.
template <class Version, std::size_t count>
void take_place(std::array<Version, count>& versions, const char* (*lacks)(const Conv2dGeometry&),
                const Version& version) {
  for (auto& place : versions) {
    if (place.refuses == lacks) place = version;
  }
}

template <>
inline constinit std::array conv2d_forward_versions<float> = {
    conv2d_winograd_place<Conv2dForward<float>>,
#ifdef TINYNET_TILES
    conv2d_float_tiles_place<Conv2dForward<float>>,
#endif
    conv2d_forward_simd<float>,
    conv2d_forward_reference<float>,
};
template <>
inline constinit std::array conv2d_backward_input_versions<float> = {
    conv2d_winograd_place<Conv2dBackwardInput<float>>,
#ifdef TINYNET_TILES
    conv2d_float_tiles_place<Conv2dBackwardInput<float>>,
#endif
    conv2d_backward_input_simd<float>,
    conv2d_backward_input_reference<float>,
};
template <>
inline constinit std::array conv2d_backward_weight_versions<float> = {
    conv2d_winograd_place<Conv2dBackwardWeight<float>>,
#ifdef TINYNET_TILES
    conv2d_float_tiles_place<Conv2dBackwardWeight<float>>,
#endif
    conv2d_backward_weight_simd<float>,
    conv2d_backward_weight_reference<float>,
};

template <Scalar16 T>
inline constinit std::array conv2d_forward_versions<T> = {
#ifdef TINYNET_TILES
    conv2d_forward_amx<T>,
#endif
    conv2d_winograd_place<Conv2dForward<T>>,
    conv2d_forward_simd<T>,
    conv2d_forward_reference<T>,
};
template <Scalar16 T>
inline constinit std::array conv2d_backward_input_versions<T> = {
#ifdef TINYNET_TILES
    conv2d_backward_input_amx<T>,
#endif
    conv2d_winograd_place<Conv2dBackwardInput<T>>,
    conv2d_backward_input_simd<T>,
    conv2d_backward_input_reference<T>,
};
template <Scalar16 T>
inline constinit std::array conv2d_backward_weight_versions<T> = {
#ifdef TINYNET_TILES
    conv2d_backward_weight_amx<T>,
#endif
    conv2d_winograd_place<Conv2dBackwardWeight<T>>,
    conv2d_backward_weight_simd<T>,
    conv2d_backward_weight_reference<T>,
};

#ifdef TINYNET_TILES
// Dot products of vectors take bfloat16 only.
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constinit std::array conv2d_forward_versions<T> = {
    conv2d_forward_amx_pixels<T>,
    conv2d_forward_amx<T>,
    conv2d_forward_avx512_pixels<T>,
    conv2d_forward_avx512<T>,
    conv2d_winograd_place<Conv2dForward<T>>,
    conv2d_forward_simd<T>,
    conv2d_forward_reference<T>,
};
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constinit std::array conv2d_backward_input_versions<T> = {
    conv2d_backward_input_amx_pixels<T>,
    conv2d_backward_input_amx<T>,
    conv2d_backward_input_avx512_pixels<T>,
    conv2d_backward_input_avx512<T>,
    conv2d_winograd_place<Conv2dBackwardInput<T>>,
    conv2d_backward_input_simd<T>,
    conv2d_backward_input_reference<T>,
};
template <Scalar16 T>
requires std::is_same_v<T, bfloat16>
inline constinit std::array conv2d_backward_weight_versions<T> = {
    conv2d_backward_weight_amx_pixels<T>,
    conv2d_backward_weight_amx<T>,
    conv2d_backward_weight_avx512_pixels<T>,
    conv2d_backward_weight_avx512<T>,
    conv2d_winograd_place<Conv2dBackwardWeight<T>>,
    conv2d_backward_weight_simd<T>,
    conv2d_backward_weight_reference<T>,
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
