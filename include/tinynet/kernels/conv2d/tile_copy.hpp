#pragma once

#include <tinynet/kernels/conv2d/lanes.hpp>
#include <tinynet/kernels/conv2d/tile_pieces.hpp>

#ifdef TINYNET_TILES

/// Copying some pixels of lanes into tiles, a line of 64 bytes in each pixel's tiles.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

inline constexpr std::int64_t depth = tiles::tile_depth;        // channels in a tile's row
inline constexpr std::int64_t pair = 2 * tiles::tile_elements;  // two tiles, 2 KB

/// Elements from one pixel's tiles to the next: a line more than the tiles have, so that the lines
/// of one lane spread over the sets of the caches.
constexpr std::int64_t pixel_step(std::int64_t tiles) {
  return tiles * tiles::tile_elements + tiles::tile_elements / 16;
}

/// Where the pixels of a lane's row lie: pixel v of the row, for begin <= v < end, is at
/// `from + v * step` bytes; before and after there is padding.
struct LaneRow {
  const std::byte* from = nullptr;
  std::int64_t step = 0;
  std::int64_t begin = 0, end = 0;
};

/// An image tensor [n, height, width, channels]; `count` of its channels from `channel` on are read.
/// The code that knows the type of its elements is reached through pointers, the rest is compiled
/// once.
struct Source {
  const std::byte* data;
  std::int64_t height, width, channels;
  std::int64_t element;  // bytes
  std::int64_t pieces;   // tiles for 32 channels
  void (*copy)(bfloat16* to, std::int64_t step, const LaneRow&, std::int64_t first,
               std::int64_t last, std::int64_t count);
  void (*pair)(bfloat16* to, std::int64_t chunk_step, const LaneRow& even, const LaneRow& odd,
               std::int64_t first, std::int64_t last, std::int64_t count);
  std::int64_t channel = 0, count = 0;
  InputMap map = {};
  /// Set where a pixel stands for the whole window that an output reads (see `folded`): `data` is
  /// then the input of this convolution.
  const Conv2dGeometry* window = nullptr;
};

/// The channels of `count` that are in the chunk of 32 from `chunk` on.
constexpr std::uint32_t chunk_mask(std::int64_t count, std::int64_t chunk) {
  return count - chunk >= depth ? ~0u : (1u << (count - chunk)) - 1;
}

/// Where to read pixel x of a lane's row, or, with an empty mask, what is not there: from `other`. A load
/// that reads nothing takes an assist of a microsecond where its address is not mapped.
template <Scalar T>
const T* pixel_or(bool inside, const LaneRow& row, std::int64_t x, const void* other) {
  return static_cast<const T*>(inside ? row.from + x * row.step : other);
}

/// Copies pixels [first, last) of a lane for products that sum over channels:
/// `to` [pixel][chunk of 32 channels][piece], tile after tile.
template <Scalar T>
TINYNET_TARGET_BF16 void copy_pixels(bfloat16* to, std::int64_t step, const LaneRow& row,
                                     std::int64_t first, std::int64_t last, std::int64_t count) {
  for (std::int64_t x = first; x < last; ++x) {
    bfloat16* line = to + x * step;
    const bool inside = x >= row.begin && x < row.end;
    const T* from = pixel_or<T>(inside, row, x, line);
    for (std::int64_t chunk = 0; chunk < count; chunk += depth, from += depth) {
      Rest<T> rest;
      load_rest(rest, from, inside ? chunk_mask(count, chunk) : 0);
#pragma GCC unroll 3
      for (std::int64_t i = 0; i < pieces_of<T>; ++i, line += tiles::tile_elements) {
        __m512i piece;
        take_piece(piece, rest);
        _mm512_store_si512(line, piece);
      }
    }
  }
}

/// Lays two lines of 32 channels side by side: pairs of 16 channels in a line of each of two tiles.
TINYNET_BF16_INLINE void store_pairs(bfloat16* line, __m512i first, __m512i second) {
  alignas(64) static constexpr std::uint16_t low_channels[32] = {
      0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const auto low = _mm512_load_si512(low_channels);
  const auto high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  _mm512_store_si512(line, _mm512_permutex2var_epi16(first, low, second));
  _mm512_store_si512(line + tiles::tile_elements, _mm512_permutex2var_epi16(first, high, second));
}

/// Copies pixels [first, last) of two lanes for products that sum over lanes: the lanes side by side,
/// 16 channels in each tile. `to` [chunk of 32 channels][pixel][piece][half of the chunk], chunks
/// `chunk_step` apart.
template <Scalar T>
TINYNET_TARGET_BF16 void pair_pixels(bfloat16* to, std::int64_t chunk_step, const LaneRow& even,
                                     const LaneRow& odd, std::int64_t first, std::int64_t last,
                                     std::int64_t count) {
  for (std::int64_t x = first; x < last; ++x) {
    const bool has_even = x >= even.begin && x < even.end;
    const bool has_odd = x >= odd.begin && x < odd.end;
    bfloat16* pixel = to + x * pixel_step(2 * pieces_of<T>);
    const T* from_even = pixel_or<T>(has_even, even, x, pixel);
    const T* from_odd = pixel_or<T>(has_odd, odd, x, pixel);
    for (std::int64_t chunk = 0; chunk < count; chunk += depth, pixel += chunk_step) {
      const auto mask = chunk_mask(count, chunk);
      Rest<T> a, b;
      load_rest(a, from_even + chunk, has_even ? mask : 0);
      load_rest(b, from_odd + chunk, has_odd ? mask : 0);
      bfloat16* line = pixel;
#pragma GCC unroll 3
      for (std::int64_t i = 0; i < pieces_of<T>; ++i, line += pair) {
        __m512i p, q;
        take_piece(p, a);
        take_piece(q, b);
        store_pairs(line, p, q);
      }
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
