#pragma once

#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/conv2d/winograd_weight_gradient.hpp>

/// Include this, in one file of a program, to let convolutions of float with windows of 3 x 3 at stride 1 multiply
/// 16 times where they would 36, by Winograd's F(2 x 2, 3 x 3). A pass takes 0.5 to 0.75 of the time of
/// vectors (docs/kernels.md). Its error is bounded by the largest inputs of each output's window instead of by each
/// product (kernels/conv2d/winograd.hpp): leave it out where that does not do, or refuse it at run time by
/// kernels::winograd_allowed() = false. With too few tiles to pay (a few small images) sums are direct, so
/// that bits may depend on the size of a batch.
namespace tinynet::inline TINYNET_ABI::kernels {

/// The same for other types, before any thread computes: 16 bits where neither tiles nor dot products take
/// them. Returns true, to be called by the initialiser of a global.
template <Scalar... T>
bool include_winograd() {
  const auto include = []<class U>() {
    take_place(conv2d_forward_versions<U>, lacks_winograd, conv2d_forward_winograd<U>);
    take_place(conv2d_backward_input_versions<U>, lacks_winograd,
               conv2d_backward_input_winograd<U>);
    take_place(conv2d_backward_weight_versions<U>, lacks_winograd,
               conv2d_backward_weight_winograd<U>);
  };
  (include.template operator()<T>(), ...);
  return true;
}

inline const bool winograd_included = include_winograd<float>();

}  // namespace tinynet::inline TINYNET_ABI::kernels
