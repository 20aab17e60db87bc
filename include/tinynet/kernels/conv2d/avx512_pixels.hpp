#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/pixels.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>

#ifdef TINYNET_TILES

namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

/// Some pixels, one after the other.
template <int Rows>
TINYNET_TARGET_BF16 void sum_pixels(const Output& out, const bfloat16* x, std::int64_t row,
                                    const bfloat16* weights) {
  __m512 low[Rows], high[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    low[r] = _mm512_loadu_ps(out.bias);
    high[r] = _mm512_loadu_ps(out.bias + 16);
  }
  for (std::int64_t chunk = 0; chunk < row; chunk += tiles::tile_depth) {
    const auto end = std::min(chunk + tiles::tile_depth, row);
    for (auto i = chunk; i < end; i += 2, weights += 32) {
      const auto left = (__m512bh)_mm512_load_si512(weights);
      const auto right = (__m512bh)_mm512_load_si512(weights + tiles::tile_elements);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const auto pair = tiles::broadcast_pair(x + r * row + i);
        low[r] = _mm512_dpbf16_ps(low[r], pair, left);
        high[r] = _mm512_dpbf16_ps(high[r], pair, right);
      }
    }
    weights += tiles::tile_elements;
  }
  if (out.store == Store::add) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      conv2d_tiles::add_stored(low[r], high[r], out.to + r * out.step, out.mask);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    conv2d_tiles::store_sums(out.to + r * out.step, low[r], high[r], out.mask);
  }
  if (!out.moments) return;
  for (int half = 0; half < 2; ++half) {
    const auto center = _mm512_loadu_ps(out.center + 16 * half);
    auto first = _mm512_loadu_ps(out.moments + 16 * half);
    auto second = _mm512_loadu_ps(out.squares + 16 * half);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const auto value = _mm512_sub_ps(half ? high[r] : low[r], center);
      first = _mm512_add_ps(first, value);
      second = _mm512_fmadd_ps(value, value, second);
    }
    _mm512_storeu_ps(out.moments + 16 * half, first);
    _mm512_storeu_ps(out.squares + 16 * half, second);
  }
}

/// Products of pixels by dot products of AVX-512: neighbouring channels are the pairs that VDPBF16PS
/// broadcasts. Eight pixels x 32 outputs stay in registers.
struct Dots {
  std::int64_t in_row;

  static std::int64_t depth_of(std::int64_t) { return tiles::tile_depth; }
  Dots(Scratch&, const Pixels& p) : in_row(p.row) {}

  void operator()(Output out, const bfloat16* x, const bfloat16* weights, std::int64_t pixels) {
    for (; pixels >= 8; pixels -= 8, out.to += 8 * out.step, x += 8 * in_row) {
      sum_pixels<8>(out, x, in_row, weights);
    }
    for (; pixels > 0; --pixels, out.to += out.step, x += in_row) {
      sum_pixels<1>(out, x, in_row, weights);
    }
  }
  void finish() {}
};

template <bool backward>
const char* refuses_dots(const Conv2dGeometry& g) {
  if (!cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  if ((backward ? g.oc : g.ic) % 2 != 0) return "an odd number of channels makes no pairs";
  return refuses_shape(g, backward);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

// Of bfloat16 alone; templates, so that only who computes with it compiles them.
template <class T>
inline constexpr Conv2dForward<T> conv2d_forward_avx512_pixels = {
    Path::avx512, conv2d_pixels::refuses_dots<false>,
    conv2d_pixels::packed_bytes<conv2d_pixels::Dots, false>,
    conv2d_pixels::pack<conv2d_pixels::Dots, false>, conv2d_pixels::forward<conv2d_pixels::Dots>};

template <class T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_avx512_pixels = {
    Path::avx512, conv2d_pixels::refuses_dots<true>,
    conv2d_pixels::packed_bytes<conv2d_pixels::Dots, true>,
    conv2d_pixels::pack<conv2d_pixels::Dots, true>,
    conv2d_pixels::backward_input<conv2d_pixels::Dots>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
