#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/tile_correlate.hpp>
#include <tinynet/kernels/conv2d/tile_weight_gradient.hpp>

#ifdef TINYNET_TILES

/// The versions in bfloat16 tiles with float sums, multiplied by AMX, or by dot products of AVX-512
/// where the CPU has no AMX but does those as fast as float FMA. The latter take bfloat16 only: three
/// products for one of float16 would take longer than one FMA.
///
/// Weights of bfloat16 images are rounded when they are packed, those of float16 and float are sums of
/// pieces (tile_pieces.hpp); weight gradients stay in float. For float it takes
/// <tinynet/float_tiles.hpp> to have them chosen.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// Tiles sum over at least 32 input channels and write at least 16 output channels: narrow groups
/// would multiply zeros.
inline const char* refuses_shape(const Conv2dGeometry& g) {
  if (g.groups > 1 && (g.ic / g.groups < 8 || g.oc / g.groups < 8)) {
    return "groups too narrow to fill tiles";
  }
  // 1 -> 32 at 28, batch 4: vectors are 3 times as fast forward, 6 times for the weight gradient.
  if (folds(g) && g.n < tiles::tile_rows) return "few channels of few images";
  if (g.macs() < 1 << 14) return "too small a convolution to fill tiles";
  return nullptr;
}

template <Scalar T>
const char* refuses_amx(const Conv2dGeometry& g) {
  if (!cpu().amx_bf16) return cpu().amx_refusal.c_str();
  // 1x1, 64 -> 128 at stride 2: 5.8 ms, vectors 3.4; at 256 -> 512 3.5 and 2.8.
  if (pieces_of<T> == 3 && (folds(g) || g.kh * g.kw < 4)) {
    return "six products for one only pay for windows of several pixels";
  }
  return refuses_shape(g);
}

/// Dot products are only twice as fast as FMA, which is lost to loops over vectors where half of a tile is
/// empty: 16 -> 16, 64 images of 28 x 28, 2.0 ms, vectors 1.5; 1x1, 40 -> 40, whose pixels do not end with
/// a register, 2.4 and 1.5.
inline const char* refuses_avx512(const Conv2dGeometry& g) {
  if (!cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  const auto ic = folded(g).ic / g.groups, oc = g.oc / g.groups;
  const auto less = std::min(ic, oc), more = std::max(ic, oc);
  if (less < 16 || more < 24) return "too few channels: vectors are as fast";
  if (g.kh * g.kw == 1 && less < 64 && (ic % 16 != 0 || oc % 16 != 0)) {
    return "a window of one pixel and channels that leave registers in part empty";
  }
  return refuses_shape(g);
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

template <Scalar T, tiles::TileUnit unit>
void forward(std::span<T> y, std::span<const T> x, const std::byte* packed,
             const Conv2dFusion<T>& fusion, const Conv2dGeometry& g) {
  Scratch scratch;
  correlate(y.data(), Store::overwrite, mapped_source(x, fusion.map, g, scratch),
            reinterpret_cast<const bfloat16*>(packed), fusion, folded(g), false, unit);
}

template <Scalar T, tiles::TileUnit unit>
void backward_input(std::span<T> dx, Store store, std::span<const T> dy, const std::byte* packed,
                    const Conv2dGeometry& g) {
  correlate(dx.data(), store, image_source(dy.data(), g.oh, g.ow, g.oc),
            reinterpret_cast<const bfloat16*>(packed), Conv2dFusion<T>{}, g, true, unit);
}

template <Scalar T, tiles::TileUnit unit>
void backward_weight(std::span<float> dw, Store store, std::span<const T> dy, std::span<const T> x,
                     InputMap map, const Conv2dGeometry& g) {
  Scratch scratch;
  weight_gradient(dw.data(), store, image_source(dy.data(), g.oh, g.ow, g.oc),
                  mapped_source(x, map, g, scratch), folded(g), unit);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

namespace tinynet::inline TINYNET_ABI::kernels {

template <Scalar T>
inline constexpr Conv2dForward<T> conv2d_forward_amx = {
    Path::amx, conv2d_tiles::refuses_amx<T>, conv2d_tiles::packed_bytes<T, false>,
    conv2d_tiles::pack<T, false>, conv2d_tiles::forward<T, tiles::TileUnit::amx>};

template <Scalar T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_amx = {
    Path::amx, conv2d_tiles::refuses_amx<T>, conv2d_tiles::packed_bytes<T, true>,
    conv2d_tiles::pack<T, true>, conv2d_tiles::backward_input<T, tiles::TileUnit::amx>};

template <Scalar T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_amx = {
    Path::amx, conv2d_tiles::refuses_amx<T>,
    conv2d_tiles::backward_weight<T, tiles::TileUnit::amx>};

// Of bfloat16 alone; templates, so that only who computes with it compiles them.
template <class T>
inline constexpr Conv2dForward<T> conv2d_forward_avx512 = {
    Path::avx512, conv2d_tiles::refuses_avx512, conv2d_tiles::packed_bytes<T, false>,
    conv2d_tiles::pack<T, false>, conv2d_tiles::forward<T, tiles::TileUnit::avx512>};

template <class T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_avx512 = {
    Path::avx512, conv2d_tiles::refuses_avx512, conv2d_tiles::packed_bytes<T, true>,
    conv2d_tiles::pack<T, true>, conv2d_tiles::backward_input<T, tiles::TileUnit::avx512>};

template <class T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_avx512 = {
    Path::avx512, conv2d_tiles::refuses_avx512,
    conv2d_tiles::backward_weight<T, tiles::TileUnit::avx512>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
