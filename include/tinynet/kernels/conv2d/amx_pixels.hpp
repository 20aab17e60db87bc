#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/pixels.hpp>
#include <tinynet/kernels/conv2d/tile_weights.hpp>

#ifdef TINYNET_TILES

/// Windows of one pixel through AMX: the rows of a tile are 16 pixels in the order of memory. Four such
/// tiles meet each tile of weights, which is what is read from L2; the pixels' own stay in L1.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

template <bool backward>
const char* refuses_amx(const Conv2dGeometry& g) {
  if (!cpu().amx_bf16) return cpu().amx_refusal.c_str();
  if (const char* why = refuses_window(g, backward)) return why;
  if (g.ic * g.oc > 1 << 19)
    return "weights that fill L2, where tiles over lanes read them less often";
  return nullptr;
}

inline constexpr std::int64_t block_tiles = block / tiles::tile_rows;  // of pixels

/// Where the tiles of a block of pixels lie, in elements.
struct PixelTiles {
  const bfloat16* data;
  std::int64_t row = 0;    // from pixel to pixel
  std::int64_t tile = 0;   // from 16 pixels to the next
  std::int64_t chunk = 0;  // from 32 channels to the next
};

/// sums[64 pixels][16 of 32 outputs] over `chunks` of 32 inputs. Needs a TileSection.
TINYNET_TARGET_AMX inline void sum_block(float* sums, PixelTiles x, const bfloat16* weights,
                                         std::int64_t chunks) {
  constexpr auto bytes = std::int64_t{sizeof(bfloat16)},
                 sums_row = width * std::int64_t{sizeof(float)};
  constexpr auto sums_tile = tiles::tile_rows * width;
  const auto row = x.row * bytes;
  tiles::finish_stores();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t i = 0; i < chunks; ++i, x.data += x.chunk, weights += tiles::tile_elements) {
    _tile_loadd(7, weights, 64);
    _tile_loadd(4, x.data, row);
    _tile_dpbf16ps(0, 4, 7);
    _tile_loadd(5, x.data + x.tile, row);
    _tile_dpbf16ps(1, 5, 7);
    _tile_loadd(6, x.data + 2 * x.tile, row);
    _tile_dpbf16ps(2, 6, 7);
    _tile_loadd(4, x.data + 3 * x.tile, row);
    _tile_dpbf16ps(3, 4, 7);
  }
  _tile_stored(0, sums, sums_row);
  _tile_stored(1, sums + sums_tile, sums_row);
  _tile_stored(2, sums + 2 * sums_tile, sums_row);
  _tile_stored(3, sums + 3 * sums_tile, sums_row);
  tiles::finish_stores();
}

/// Writes the sums of `count` pixels and adds them to the moments, before they are rounded.
TINYNET_TARGET_BF16 inline void write_block(Output& out, const float* sums, std::int64_t count) {
  const auto bias_low = _mm512_load_ps(out.bias), bias_high = _mm512_load_ps(out.bias + 16);
  const auto center_low = _mm512_load_ps(out.center), center_high = _mm512_load_ps(out.center + 16);
  auto first_low = _mm512_setzero_ps(), first_high = first_low;
  auto second_low = first_low, second_high = first_low;
  for (std::int64_t i = 0; i < count; ++i, sums += width, out.to += out.step) {
    auto low = _mm512_add_ps(_mm512_load_ps(sums), bias_low);
    auto high = _mm512_add_ps(_mm512_load_ps(sums + 16), bias_high);
    if (out.has_moments) {
      const auto off_low = _mm512_sub_ps(low, center_low),
                 off_high = _mm512_sub_ps(high, center_high);
      first_low = _mm512_add_ps(first_low, off_low);
      first_high = _mm512_add_ps(first_high, off_high);
      second_low = _mm512_fmadd_ps(off_low, off_low, second_low);
      second_high = _mm512_fmadd_ps(off_high, off_high, second_high);
    }
    conv2d_tiles::store_sums(out.to, low, high, out.store, out.mask);
  }
  _mm512_store_ps(out.moments[0], first_low);
  _mm512_store_ps(out.moments[0] + 16, first_high);
  _mm512_store_ps(out.moments[1], second_low);
  _mm512_store_ps(out.moments[1] + 16, second_high);
}

/// Copies the pixels [begin, end) of a block into tiles, [16 pixels][chunk][pixel][32 channels].
template <class = void>
void copy_block(bfloat16* to, const bfloat16* x, InputMap map, const Pixels& p, Range pixels) {
  const auto tile = pieces(p.in, tiles::tile_depth) * tiles::tile_elements;
  Scratch scratch;
  const auto mapped = scratch.take<bfloat16>(map ? tiles::tile_rows * p.in : 0);
  for (auto i = pixels.begin, end = i; i < pixels.end; i = end) {
    const auto at = i - pixels.begin, row = at % tiles::tile_rows;
    end = std::min({pixels.end, i + tiles::tile_rows - row, (i / p.cols + 1) * p.cols});
    const auto* from = x + p.at(i);
    auto step = p.step;
    if (map) {
      for (auto j = i; j < end; ++j) map(mapped.data() + (j - i) * p.in, x + p.at(j), 1);
      from = mapped.data();
      step = p.in;
    }
    const conv2d_tiles::LaneRow line{reinterpret_cast<const std::byte*>(from),
                                     step * std::int64_t{sizeof(bfloat16)}, 0, end - i};
    conv2d_tiles::copy_pixels<bfloat16>(to + at / tiles::tile_rows * tile + row * tiles::tile_depth,
                                        tiles::tile_depth, line, 0, end - i, p.in);
  }
}

template <class = void>
void run_unit_amx(bfloat16* y, Store store, const bfloat16* x, const bfloat16* weights,
                  const Conv2dFusion<bfloat16>& fusion, const Pixels& p, Range unit,
                  double* moments) {
  const auto chunks = pieces(p.in, tiles::tile_depth), column = chunks * tiles::tile_elements;
  const bool in_place = !fusion.map && p.rows == 1 && p.in % tiles::tile_depth == 0;
  Scratch scratch;
  auto* const copy = scratch.take<bfloat16>(block_tiles * column).data();
  auto* const sums = scratch.take<float>(block * width).data();
  const tiles::TileSection section;
  for (auto begin = unit.begin; begin < unit.end; begin += block) {
    const auto end = std::min(begin + block, unit.end);
    PixelTiles from{copy, tiles::tile_depth, column, tiles::tile_elements};
    if (in_place && end - begin == block) {
      from = {x + begin * p.in, p.in, tiles::tile_rows * p.in, tiles::tile_depth};
    } else {
      copy_block(copy, x, fusion.map, p, {begin, end});
    }
    for (std::int64_t o = 0; o < p.out; o += width) {
      const auto* block_weights = weights + o / tiles::tile_rows * column;
      sum_block(sums, from, block_weights, chunks);
      if (o + tiles::tile_rows < p.out) {
        sum_block(sums + tiles::tile_rows, from, block_weights + column, chunks);
      }
      Output out(y + begin * p.out, store, fusion, p, o);
      write_block(out, sums, end - begin);
      out.add_moments(moments, o);
    }
  }
}

template <class = void>
void forward_amx(std::span<bfloat16> y, std::span<const bfloat16> x, const std::byte* packed,
                 const Conv2dFusion<bfloat16>& fusion, const Conv2dGeometry& g) {
  run(y.data(), Store::overwrite, x.data(), packed, fusion, pixels_of(g, false),
      Cost::of_elements(std::ssize(x) + std::ssize(y)), run_unit_amx<>);
}

template <class = void>
void backward_input_amx(std::span<bfloat16> dx, Store store, std::span<const bfloat16> dy,
                        const std::byte* packed, const Conv2dGeometry& g) {
  run(dx.data(), store, dy.data(), packed, {}, pixels_of(g, true),
      Cost::of_elements(std::ssize(dx) + std::ssize(dy)), run_unit_amx<>);
}

template <bool backward>
std::int64_t packed_bytes_amx(const Conv2dGeometry& g) {
  return conv2d_tiles::packed_elements(g, backward, 1) * std::int64_t{sizeof(bfloat16)};
}

template <bool backward>
void pack_amx(std::byte* packed, std::span<const float> w, const Conv2dGeometry& g) {
  conv2d_tiles::pack_weights(reinterpret_cast<bfloat16*>(packed), w.data(), g, backward, 1);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

template <class T>
inline constexpr Conv2dForward<T> conv2d_forward_amx_pixels = {
    Path::amx, conv2d_pixels::refuses_amx<false>, conv2d_pixels::packed_bytes_amx<false>,
    conv2d_pixels::pack_amx<false>, conv2d_pixels::forward_amx<>};

template <class T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_amx_pixels = {
    Path::amx, conv2d_pixels::refuses_amx<true>, conv2d_pixels::packed_bytes_amx<true>,
    conv2d_pixels::pack_amx<true>, conv2d_pixels::backward_input_amx<>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
