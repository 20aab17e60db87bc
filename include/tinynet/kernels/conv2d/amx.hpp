#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/amx_correlate.hpp>
#include <tinynet/kernels/conv2d/amx_weight_gradient.hpp>

#ifdef TINYNET_AMX

/// The versions in bfloat16 tiles with float sums, for bfloat16 images. Weights are rounded to
/// bfloat16 when they are packed; weight gradients stay in float.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx {

/// Tiles sum over at least 32 input channels and write at least 16 output channels: narrow groups
/// would multiply zeros.
inline const char* refuses(const Conv2dGeometry& g) {
  if (!cpu().amx_bf16) return cpu().amx_refusal.c_str();
  if (g.groups > 1 && (g.ic / g.groups < 8 || g.oc / g.groups < 8)) {
    return "groups too narrow to fill tiles";
  }
  // 1 -> 32 at 28, batch 4: vectors are 3 times as fast forward, 6 times for the weight gradient.
  if (folds(g) && g.n < amx::tile_rows) return "few channels of few images";
  if (g.macs() < 1 << 14) return "too small a convolution to fill tiles";
  return nullptr;
}

template <bool backward>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return packed_elements(backward ? g : folded(g), backward) *
         static_cast<std::int64_t>(sizeof(bfloat16));
}

template <bool backward>
void pack(std::byte* packed, std::span<const float> w, const Conv2dGeometry& g) {
  pack_weights(reinterpret_cast<bfloat16*>(packed), w.data(), backward ? g : folded(g), backward);
}

inline void forward(std::span<bfloat16> y, std::span<const bfloat16> x, const std::byte* packed,
                    std::span<const float> bias, const Conv2dGeometry& g) {
  correlate(y.data(), Store::overwrite, source_of(x.data(), g),
            reinterpret_cast<const bfloat16*>(packed), bias.empty() ? nullptr : bias.data(),
            folded(g), false);
}

inline void backward_input(std::span<bfloat16> dx, Store store, std::span<const bfloat16> dy,
                           const std::byte* packed, const Conv2dGeometry& g) {
  correlate(dx.data(), store, {dy.data(), g.oh, g.ow, g.oc},
            reinterpret_cast<const bfloat16*>(packed), nullptr, g, true);
}

inline void backward_weight(std::span<float> dw, Store store, std::span<const bfloat16> dy,
                            std::span<const bfloat16> x, const Conv2dGeometry& g) {
  weight_gradient(dw.data(), store, dy.data(), source_of(x.data(), g), folded(g));
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx

namespace tinynet::inline TINYNET_ABI::kernels {

inline constexpr Conv2dForward<bfloat16> conv2d_forward_amx = {
    Path::amx, conv2d_amx::refuses, conv2d_amx::packed_bytes<false>, conv2d_amx::pack<false>,
    conv2d_amx::forward};

inline constexpr Conv2dBackwardInput<bfloat16> conv2d_backward_input_amx = {
    Path::amx, conv2d_amx::refuses, conv2d_amx::packed_bytes<true>, conv2d_amx::pack<true>,
    conv2d_amx::backward_input};

inline constexpr Conv2dBackwardWeight<bfloat16> conv2d_backward_weight_amx = {
    Path::amx, conv2d_amx::refuses, conv2d_amx::backward_weight};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
