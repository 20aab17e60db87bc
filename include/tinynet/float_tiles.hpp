#pragma once

#include <tinynet/kernels/conv2d.hpp>

/// Include this, in one file of a program, to let convolutions of float use AMX tiles where the CPU has
/// them: each float as the sum of three bfloat16, six products for one. It is faster than direct sums in vectors,
/// and each product errs by less than 2^-25 of its size; see kernels/conv2d/tile_pieces.hpp for what happens
/// to infinities, to numbers above 3.39e38 and below 2^-110. TINYNET_KERNELS=simd refuses it at run time;
/// what <tinynet/winograd.hpp> takes, where that is included too, does not come here.
namespace tinynet::inline TINYNET_ABI::kernels {

#ifdef TINYNET_TILES
inline const bool float_tiles = [] {
  take_place(conv2d_forward_versions<float>, lacks_float_tiles, conv2d_forward_amx<float>);
  take_place(conv2d_backward_input_versions<float>, lacks_float_tiles,
             conv2d_backward_input_amx<float>);
  take_place(conv2d_backward_weight_versions<float>, lacks_float_tiles,
             conv2d_backward_weight_amx<float>);
  return true;
}();
#endif

}  // namespace tinynet::inline TINYNET_ABI::kernels
