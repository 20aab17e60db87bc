#pragma once

#include <tinynet/kernels/conv2d/avx512_pixels.hpp>

#ifdef TINYNET_TILES

/// The weight gradient of windows of one pixel: dw[oc, ic] = sum over pixels of dy[pixel, oc] *
/// x[pixel, ic]. Here the pairs are neighbouring pixels: blocks of both images are laid out as pairs in
/// L1, and 8 inputs x 32 outputs stay in registers over a block.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

inline constexpr std::int64_t block = 64;  // pixels

inline const char* refuses_weight(const Conv2dGeometry& g) {
  if (!cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  if (const char* refusal = refuses_shape(g, false)) return refusal;
  if (g.ic * g.oc > 1 << 16) return "sums that leave L2, where tiles are as fast";
  return nullptr;
}

/// to[c][2]: the channels of two pixels in turn, as whole registers; no second pixel counts as zero.
TINYNET_TARGET_BF16 inline void pair_pixels(bfloat16* to, const bfloat16* first,
                                            const bfloat16* second, std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; c += 16) {
    const auto mask = static_cast<__mmask16>(conv2d_tiles::chunk_mask(channels, c));
    const auto low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first + c));
    auto both = low;
    if (second) {
      const auto high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second + c));
      both = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
    }
    _mm512_store_si512(to + 2 * c, both);
  }
}

/// sums[8][32] += over pairs of pixels: x[8][2] times dy[32][2], `x_step` and `dy_step` elements apart.
TINYNET_TARGET_BF16 inline void add_pairs(float* sums, const bfloat16* x, std::int64_t x_step,
                                          const bfloat16* dy, std::int64_t dy_step,
                                          std::int64_t pairs) {
  __m512 low[8], high[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    low[i] = _mm512_load_ps(sums + i * width);
    high[i] = _mm512_load_ps(sums + i * width + 16);
  }
  for (std::int64_t p = 0; p < pairs; ++p, x += x_step, dy += dy_step) {
    const auto left = (__m512bh)_mm512_load_si512(dy);
    const auto right = (__m512bh)_mm512_load_si512(dy + width);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const auto pair = tiles::broadcast_pair(x + 2 * i);
      low[i] = _mm512_dpbf16_ps(low[i], pair, left);
      high[i] = _mm512_dpbf16_ps(high[i], pair, right);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    _mm512_store_ps(sums + i * width, low[i]);
    _mm512_store_ps(sums + i * width + 16, high[i]);
  }
}

/// Sums [block of 32 outputs][input][32] over the pixels of a unit.
template <class = void>
void sum_unit(float* sums, const bfloat16* dy, const Source& x, const Pixels& p, Range unit) {
  const auto inputs = pieces(p.in, 8) * 8;
  const auto x_step = pieces(p.in, 16) * 32, dy_step = pieces(p.out, width) * 2 * width;
  std::fill_n(sums, pieces(p.out, width) * inputs * width, 0.0f);
  Scratch scratch;
  auto* const x_pairs = scratch.take<bfloat16>(block / 2 * x_step).data();
  auto* const dy_pairs = scratch.take<bfloat16>(block / 2 * dy_step).data();
  auto* const copy = scratch.take<bfloat16>(block * p.row).data();
  std::fill_n(dy_pairs, block / 2 * dy_step, bfloat16());  // beyond the channels
  for (auto begin = unit.begin; begin < unit.end; begin += block) {
    const auto end = std::min(begin + block, unit.end), pairs = pieces(end - begin, 2);
    const auto* from = rows_of(copy, x, p, {begin, end});
    for (std::int64_t i = 0; i < pairs; ++i) {
      const auto pixel = begin + 2 * i;
      const bool two = pixel + 1 < end;
      const auto* first = from + 2 * i * p.row;
      pair_pixels(x_pairs + i * x_step, first, two ? first + p.row : nullptr, p.in);
      const auto* gradient = dy + pixel * p.out;
      pair_pixels(dy_pairs + i * dy_step, gradient, two ? gradient + p.out : nullptr, p.out);
    }
    for (std::int64_t o = 0; o < p.out; o += width) {
      for (std::int64_t i = 0; i < p.in; i += 8) {
        add_pairs(sums + o * inputs + i * width, x_pairs + 2 * i, x_step, dy_pairs + 2 * o, dy_step,
                  pairs);
      }
    }
  }
}

template <class = void>
void backward_weight(std::span<float> dw, Store store, std::span<const bfloat16> dy,
                     std::span<const bfloat16> x, InputMap map, const Conv2dGeometry& g) {
  constexpr std::int64_t partials = 8;
  Scratch scratch;
  const auto p = pixels_of<Dots>(g, false);
  const auto source = conv2d_tiles::mapped_source(x, map, g, scratch);
  const auto grain = pieces(std::max<std::int64_t>(p.count(), 1), partials * block) * block;
  const auto count = pieces(p.count(), grain);
  const auto inputs = pieces(p.in, 8) * 8, size = pieces(p.out, width) * inputs * width;
  auto* const sums = scratch.take<float>(count * size).data();
  parallel_for(count, Cost::of_macs(g.macs() / 2), [&](std::int64_t unit) {
    sum_unit(sums + unit * size, dy.data(), source, p,
             {unit * grain, std::min(p.count(), (unit + 1) * grain)});
  });
  for (std::int64_t o = 0; o < p.out; ++o) {
    for (std::int64_t i = 0; i < p.in; ++i) {
      const auto* from = sums + (o / width * inputs + i) * width + o % width;
      float total = 0;
      for (std::int64_t unit = 0; unit < count; ++unit) total += from[unit * size];
      put(dw[static_cast<std::size_t>(o * p.in + i)], total, store);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

template <class T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_avx512_pixels = {
    Path::avx512, conv2d_pixels::refuses_weight, conv2d_pixels::backward_weight<>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
