#pragma once

#include <tinynet/kernels/conv2d/amx_pixels.hpp>
#include <tinynet/kernels/gemm/amx_product.hpp>

#ifdef TINYNET_TILES

/// The weight gradient of windows of one pixel through tiles: dw[oc, ic] = sum over pixels of
/// dy[pixel, oc] * x[pixel, ic]. Neighbouring pixels are the pairs; a block of them becomes tiles of
/// both images in L1, of which those of dy are turned.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

inline const char* refuses_weight_tiles(const Conv2dGeometry& g) {
  const auto f = conv2d_tiles::folded(g);
  // 64 -> 128 at stride 2: 1.2 ms, by lanes 1.1; 20 -> 20: 0.36 and 0.66.
  if (std::min(f.ic, f.oc) >= 64) return "channels that fill the tiles of lanes";
  if (f.ic * f.oc > 1 << 16) return "sums that leave L2";
  return refuses_tiles<false>(g);
}

inline constexpr std::int64_t sums_of_block = width * width;

/// Pairs up to 32 channels of pixels `row` elements apart: two tiles, of 16 channels each, for each 32
/// pixels; those that are missing at the end are zero. `turn`: to tiles of 16 channels x 32 pixels. `ahead`: asks
/// memory for the pixels behind, which else would wait until these are multiplied.
TINYNET_TARGET_BF16 inline void pair_block(bfloat16* to, const bfloat16* from, std::int64_t row,
                                           std::int64_t channels, std::int64_t pixels, bool turn,
                                           bool ahead) {
  const auto mask = conv2d_tiles::chunk_mask(channels, 0);
  const auto zero = _mm512_setzero_si512();
  for (std::int64_t left = pixels; left > 0; left -= 32, to += 2 * tiles::tile_elements) {
    for (std::int64_t p = 0; p < 32; p += 2, from += 2 * row) {
      if (ahead) {
        prefetch_ahead(from, 1);
        prefetch_ahead(from + row, 1);
      }
      const auto first = p < left ? _mm512_maskz_loadu_epi16(mask, from) : zero;
      const auto second = p + 1 < left ? _mm512_maskz_loadu_epi16(mask, from + row) : zero;
      conv2d_tiles::store_pairs(to + p / 2 * tiles::tile_depth, first, second);
    }
    if (!turn) continue;
    tiles::turn_tile(to);
    tiles::turn_tile(to + tiles::tile_elements);
  }
}

/// Sums [block of 32 outputs][block of 32 inputs][32][32] over the pixels of a unit.
template <class = void>
void sum_tiles_of(float* sums, const bfloat16* dy, const Source& x, const Pixels& p, Range unit) {
  constexpr std::int64_t block = 256;
  const auto inputs = pieces(p.in, width), outputs = pieces(p.out, width);
  Scratch scratch;
  auto* const copy = scratch.take<bfloat16>(block * p.row).data();
  auto* const x_tiles = scratch.take<bfloat16>(inputs * block * width).data();
  auto* const dy_tiles = scratch.take<bfloat16>(outputs * block * width).data();
  const tiles::TileSection section;
  for (auto begin = unit.begin; begin < unit.end; begin += block) {
    const auto end = std::min(begin + block, unit.end), count = end - begin;
    const auto* from = rows_of(copy, x, p, {begin, end});
    const auto pack = [&](bfloat16* to, const bfloat16* image, std::int64_t channels,
                          std::int64_t row, bool turn, bool ahead) {
      for (std::int64_t c = 0; c < channels; c += width) {
        pair_block(to + c * block, image + c, row, std::min(width, channels - c), count, turn,
                   ahead);
      }
    };
    pack(x_tiles, from, p.in, p.row, false, from != copy);
    pack(dy_tiles, dy + begin * p.out, p.out, p.out, true, true);
    const tiles::Step whole;
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t i = 0; i < inputs; ++i) {
        tiles::sum_steps<2, 2>(sums + (o * inputs + i) * sums_of_block,
                               dy_tiles + o * block * width, x_tiles + i * block * width, &whole, 1,
                               pieces(count, tiles::tile_depth), begin > unit.begin);
      }
    }
  }
}

template <class = void>
void backward_weight_tiles(std::span<float> dw, Store store, std::span<const bfloat16> dy,
                           std::span<const bfloat16> x, InputMap map, const Conv2dGeometry& g) {
  constexpr std::int64_t partials = 8, step = 64;
  Scratch scratch;
  const auto p = pixels_of<Tiles>(g, false);
  const auto source = conv2d_tiles::mapped_source(x, map, g, scratch);
  const auto grain = pieces(std::max<std::int64_t>(p.count(), 1), partials * step) * step;
  const auto count = pieces(p.count(), grain);
  const auto inputs = pieces(p.in, width), size = inputs * pieces(p.out, width) * sums_of_block;
  auto* const sums = scratch.take<float>(count * size).data();
  parallel_for(count, Cost::of_macs(p.count() * p.in * p.out / 4), [&](std::int64_t unit) {
    sum_tiles_of(sums + unit * size, dy.data(), source, p,
                 {unit * grain, std::min(p.count(), (unit + 1) * grain)});
  });
  parallel_for(p.out, Cost::of_elements(count * p.in * p.out), [&](std::int64_t o) {
    for (std::int64_t i = 0; i < p.in; i += width) {
      const float* from =
          sums + (o / width * inputs + i / width) * sums_of_block + o % width * width;
      float* to = dw.data() + o * p.in + i;
      for (std::int64_t j = 0; j < std::min(width, p.in - i); ++j) {
        float total = from[j];
        for (std::int64_t part = 1; part < count; ++part) total += from[part * size + j];
        put(to[j], total, store);
      }
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

template <class T>
inline constexpr Conv2dBackwardWeight<T> conv2d_backward_weight_amx_pixels = {
    Path::amx, conv2d_pixels::refuses_weight_tiles, conv2d_pixels::backward_weight_tiles<>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
