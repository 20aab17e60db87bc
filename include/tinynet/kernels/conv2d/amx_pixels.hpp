#pragma once

#include <bit>

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/pixels.hpp>

#ifdef TINYNET_TILES

namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

/// sums[16 * Rows][32], their first 16 * Cols: of pixels `row` elements long, `depth` to a tile's row.
/// Needs a TileSection of that depth.
template <int Rows, int Cols>
TINYNET_TARGET_AMX void sum_tiles(float* sums, const bfloat16* x, const bfloat16* weights,
                                  std::int64_t row, std::int64_t depth) {
  constexpr int row_bytes = width * sizeof(float);
  tiles::finish_stores();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t i = 0; i < row; i += depth, x += depth, weights += 2 * tiles::tile_elements) {
    _tile_loadd(4, x, 2 * row);
    _tile_loadd(6, weights, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (Cols == 2) {
      _tile_loadd(7, weights + tiles::tile_elements, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (Rows == 2) {
      _tile_loadd(5, x + tiles::tile_rows * row, 2 * row);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (Cols == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, row_bytes);
  if constexpr (Cols == 2) _tile_stored(1, sums + 16, row_bytes);
  if constexpr (Rows == 2) _tile_stored(2, sums + 16 * width, row_bytes);
  if constexpr (Rows == 2 && Cols == 2) _tile_stored(3, sums + 16 * width + 16, row_bytes);
  tiles::finish_stores();
}

/// Bias, rounding and moments of some pixels, whose sums are sums[pixels][32].
TINYNET_TARGET_BF16 inline void write_pixels(const Output& out, float* sums, std::int64_t pixels) {
  for (std::int64_t i = 0; out.store == Store::add && i < pixels; ++i) {
    conv2d_tiles::add_stored(sums + i * width, out.to + i * out.step, out.mask);
  }
  const auto zero = _mm512_setzero_ps();
  conv2d_tiles::Rest<float> bias, center, first{zero, zero}, second{zero, zero};
  load_rest(bias, out.bias, ~0u);
  load_rest(center, out.center, ~0u);
  for (std::int64_t i = 0; i < pixels; ++i, sums += width) {
    auto low = _mm512_add_ps(_mm512_load_ps(sums), bias.low);
    auto high = _mm512_add_ps(_mm512_load_ps(sums + 16), bias.high);
    if (out.moments) {
      const auto left = _mm512_sub_ps(low, center.low), right = _mm512_sub_ps(high, center.high);
      first.low = _mm512_add_ps(first.low, left);
      first.high = _mm512_add_ps(first.high, right);
      second.low = _mm512_fmadd_ps(left, left, second.low);
      second.high = _mm512_fmadd_ps(right, right, second.high);
    }
    conv2d_tiles::store_sums(out.to + i * out.step, low, high, out.mask);
  }
  if (!out.moments) return;
  _mm512_storeu_ps(out.moments, _mm512_add_ps(_mm512_loadu_ps(out.moments), first.low));
  _mm512_storeu_ps(out.moments + 16, _mm512_add_ps(_mm512_loadu_ps(out.moments + 16), first.high));
  _mm512_storeu_ps(out.squares, _mm512_add_ps(_mm512_loadu_ps(out.squares), second.low));
  _mm512_storeu_ps(out.squares + 16, _mm512_add_ps(_mm512_loadu_ps(out.squares + 16), second.high));
}

/// Products of pixels by tiles: 32 pixels x 32 outputs at a time. A pixel's channels are cut into equal
/// rows of tiles, so that the tiles' shapes stay the same and none reads into the next pixel: 40 into
/// 2 x 20. Rows of at least 16; what cannot be cut so is laid out with zeros behind it. Sums are written
/// while tiles multiply the next ones.
class Tiles {
 public:
  static std::int64_t depth_of(std::int64_t in) {
    if (in <= tiles::tile_depth && in % 2 == 0) return in;
    for (std::int64_t depth = tiles::tile_depth; depth >= 16; depth -= 2) {
      if (in % depth == 0) return depth;
    }
    return 0;
  }
  Tiles(Scratch& scratch, const Pixels& p)
      : row_(p.row),
        depth_(p.depth),
        sums_{scratch.take<float>(32 * width).data(), scratch.take<float>(32 * width).data()},
        section_(tiles::TileConfiguration::of_depth(depth_)) {}

  void operator()(Output out, const bfloat16* x, const bfloat16* weights, std::int64_t pixels) {
    const bool wide = out.mask >> 16;
    const auto sum = wide ? sum_tiles<2, 2> : sum_tiles<2, 1>;
    const auto sum_last = wide ? sum_tiles<1, 2> : sum_tiles<1, 1>;
    constexpr std::int64_t bytes = 32 * sizeof(bfloat16);
    const auto channels = std::popcount(out.mask);
    auto* ahead = out.ahead;
    for (; pixels > 0; pixels -= 32, out.to += 32 * out.step, x += 32 * row_) {
      if (out.reads_ahead) prefetch_ahead(x, row_ * bytes);
      if (ahead) {
        prefetch<Access::write_later>(ahead, channels * bytes);
        ahead += 32 * channels;
      }
      (pixels > 16 ? sum : sum_last)(sums_[0], x, weights, row_, depth_);
      finish();
      waiting_ = std::min<std::int64_t>(pixels, 32);
      out_ = out;
      std::swap(sums_[0], sums_[1]);
    }
  }
  void finish() {
    if (waiting_ > 0) write_pixels(out_, sums_[1], waiting_);
    waiting_ = 0;
  }

 private:
  std::int64_t row_, depth_;
  float* sums_[2];            // being multiplied, waiting to be written
  std::int64_t waiting_ = 0;  // pixels
  Output out_ = {};           // where those go
  tiles::TileSection section_;
};

template <bool backward>
const char* refuses_tiles(const Conv2dGeometry& g) {
  if (!cpu().amx_bf16) return cpu().amx_refusal.c_str();
  if (g.macs() < 1 << 14) return "too small a convolution to fill tiles";
  return refuses_shape(backward ? g : conv2d_tiles::folded(g), backward);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

// Of bfloat16 alone; templates, so that only who computes with it compiles them.
template <class T>
inline constexpr Conv2dForward<T> conv2d_forward_amx_pixels = {
    Path::amx, conv2d_pixels::refuses_tiles<false>,
    conv2d_pixels::packed_bytes<conv2d_pixels::Tiles, false>,
    conv2d_pixels::pack<conv2d_pixels::Tiles, false>, conv2d_pixels::forward<conv2d_pixels::Tiles>};

template <class T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_amx_pixels = {
    Path::amx, conv2d_pixels::refuses_tiles<true>,
    conv2d_pixels::packed_bytes<conv2d_pixels::Tiles, true>,
    conv2d_pixels::pack<conv2d_pixels::Tiles, true>,
    conv2d_pixels::backward_input<conv2d_pixels::Tiles>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
