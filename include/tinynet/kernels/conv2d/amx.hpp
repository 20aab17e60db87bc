#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/amx_correlate.hpp>
#include <tinynet/kernels/conv2d/amx_weight_gradient.hpp>

#ifdef TINYNET_AMX

/// The versions in bfloat16 tiles with float sums. Weights of bfloat16 images are rounded when they are
/// packed, those of float16 and float are sums of pieces (amx_pieces.hpp); weight gradients stay in
/// float. For float it takes <tinynet/float_tiles.hpp> to have them chosen.
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

template <Scalar T>
const char* refuses_type(const Conv2dGeometry& g) {
  // 1x1, 64 -> 128 at stride 2: 5.8 ms, vectors 3.4; at 256 -> 512 3.5 and 2.8.
  if (pieces_of<T> == 3 && (folds(g) || g.kh * g.kw < 4)) {
    return "six products for one only pay for windows of several pixels";
  }
  return refuses(g);
}

template <Scalar T, bool backward>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return packed_elements(backward ? g : folded(g), backward, pieces_of<T>) *
         static_cast<std::int64_t>(sizeof(bfloat16));
}

template <Scalar T, bool backward>
void pack(std::byte* packed, std::span<const float> w, const Conv2dGeometry& g) {
  pack_weights(reinterpret_cast<bfloat16*>(packed), w.data(), backward ? g : folded(g), backward,
               pieces_of<T>);
}

/// The map of x as a source. Windows are cut from x as it lies, so there the map needs a copy: of few
/// channels.
template <Scalar T>
Source mapped_source(std::span<const T> x, InputMap map, const Conv2dGeometry& g,
                     Scratch& scratch) {
  if (!map || !folds(g)) {
    auto source = input_source(x.data(), g);
    source.map = map;
    return source;
  }
  const auto copy = scratch.take<T>(std::ssize(x));
  parallel_ranges(g.n * g.h, 64, [&](Range rows) {
    const auto first = rows.begin * g.w * g.ic;
    map(copy.data() + first, x.data() + first, rows.size() * g.w);
  });
  return input_source(copy.data(), g);
}

template <Scalar T>
void forward(std::span<T> y, std::span<const T> x, const std::byte* packed,
             const Conv2dFusion<T>& fusion, const Conv2dGeometry& g) {
  Scratch scratch;
  correlate(y.data(), Store::overwrite, mapped_source(x, fusion.map, g, scratch),
            reinterpret_cast<const bfloat16*>(packed), fusion, folded(g), false);
}

template <Scalar T>
void backward_input(std::span<T> dx, Store store, std::span<const T> dy, const std::byte* packed,
                    const Conv2dGeometry& g) {
  correlate(dx.data(), store, image_source(dy.data(), g.oh, g.ow, g.oc),
            reinterpret_cast<const bfloat16*>(packed), Conv2dFusion<T>{}, g, true);
}

template <Scalar T>
void backward_weight(std::span<float> dw, Store store, std::span<const T> dy, std::span<const T> x,
                     InputMap map, const Conv2dGeometry& g) {
  Scratch scratch;
  weight_gradient(dw.data(), store, image_source(dy.data(), g.oh, g.ow, g.oc),
                  mapped_source(x, map, g, scratch), folded(g));
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dForward<T> conv2d_forward_amx = {
    Path::amx, conv2d_amx::refuses_type<T>, conv2d_amx::packed_bytes<T, false>,
    conv2d_amx::pack<T, false>, conv2d_amx::forward<T>};

template <Scalar T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_amx = {
    Path::amx, conv2d_amx::refuses_type<T>, conv2d_amx::packed_bytes<T, true>,
    conv2d_amx::pack<T, true>, conv2d_amx::backward_input<T>};

template <Scalar T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_amx = {
    Path::amx, conv2d_amx::refuses_type<T>, conv2d_amx::backward_weight<T>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
