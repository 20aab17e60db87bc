#pragma once

#include <tinynet/core/amx.hpp>
#include <tinynet/kernels/conv2d/lanes.hpp>
#include <tinynet/kernels/gemm/amx_pack.hpp>

#ifdef TINYNET_AMX

/// Copying images into tiles, a row of all lanes of a block at a time. Walking along one image
/// keeps the reads in order; what is written lands in L2, a line of 64 bytes in each pixel's tiles.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx {

inline constexpr std::int64_t depth = amx::tile_depth;        // channels in a tile's row
inline constexpr std::int64_t pair = 2 * amx::tile_elements;  // two tiles, 2 KB

/// Elements from one pixel's tiles to the next: a line more than the tiles have, so that the lines
/// of one lane spread over the sets of the caches.
constexpr std::int64_t pixel_step(std::int64_t tiles) {
  return tiles * amx::tile_elements + amx::tile_elements / 16;
}

/// An image tensor [n, height, width, channels]; `count` of its channels from `channel` on are read.
struct Source {
  const bfloat16* data;
  std::int64_t height, width, channels;
  std::int64_t channel = 0, count = 0;
  /// Set where a pixel stands for the whole window that an output reads (see `folded`): `data` is
  /// then the input of this convolution.
  const Conv2dGeometry* window = nullptr;
};

/// A few channels would leave most of a tile's depth empty: 1 of 32 in a first layer. There the
/// window itself becomes the channels, and the convolution is of one pixel, which leaves weights and
/// their gradients as they lie.
inline bool folds(const Conv2dGeometry& g) {
  return g.ic <= 8 && g.groups == 1 && g.kh * g.kw > 1 && (g.dilation == 1 || g.kw == 1);
}
inline Conv2dGeometry folded(const Conv2dGeometry& g) {
  if (!folds(g)) return g;
  return {.n = g.n,
          .h = g.oh,
          .w = g.ow,
          .ic = g.kh * g.kw * g.ic,
          .oh = g.oh,
          .ow = g.ow,
          .oc = g.oc,
          .kh = 1,
          .kw = 1};
}
inline Source source_of(const bfloat16* x, const Conv2dGeometry& g) {
  if (folds(g)) return {.data = x, .height = g.oh, .width = g.ow, .channels = 0, .window = &g};
  return {.data = x, .height = g.h, .width = g.w, .channels = g.ic};
}

/// Where the pixels of a lane's row lie: pixel v of the row, for begin <= v < end, is at
/// `from + v * step`; before and after there is padding.
struct LaneRow {
  const bfloat16* from = nullptr;
  std::int64_t step = 0;
  std::int64_t begin = 0, end = 0;
};

/// Lays out the windows of `count` outputs of a row, from output (row, col) of an image on: in each
/// window the rows of its pixels follow each other, zeros where there is padding.
TINYNET_TARGET_AMX inline void fold_windows(bfloat16* to, const Source& s, std::int64_t image,
                                            std::int64_t row, std::int64_t col,
                                            std::int64_t count) {
  const auto& g = *s.window;
  const auto length = g.kw * g.ic, chunks = pieces(s.count, depth);
  struct Row {               // of a window, as far as it lies in a chunk
    const bfloat16* pixels;  // the image's row
    std::int64_t at;         // where it begins in the chunk, may be negative
    std::uint32_t mask;      // of the elements of the chunk that it fills
  };
  // `first` to `last` are the elements of the row that lie in the image.
  const auto mask_of = [](std::int64_t at, std::int64_t first, std::int64_t last) {
    const auto begin = std::max<std::int64_t>(at + first, 0);
    const auto end = std::min<std::int64_t>(at + last, depth);
    return begin < end ? (~0u >> (32 - (end - begin))) << begin : 0u;
  };
  Scratch scratch;
  const auto window = scratch.take<Row>(g.kh);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::size_t rows = 0;
    for (std::int64_t i = 0; i < g.kh; ++i) {
      const auto y = row * g.stride - g.padding + i * g.dilation, at = i * length - chunk * depth;
      const auto mask = mask_of(at, 0, length);
      if (y < 0 || y >= g.h || !mask) continue;
      window[rows++] = {s.data + (image * g.h + y) * g.w * g.ic, at, mask};
    }
    bfloat16* line = to + chunk * depth;
    for (std::int64_t x = col; x < col + count; ++x, line += chunks * depth) {
      const auto start = (x * g.stride - g.padding) * g.ic;  // in a row of the image
      const bool inside = start >= 0 && start + length <= g.w * g.ic;
      auto all = _mm512_setzero_si512();
      for (std::size_t i = 0; i < rows && x < g.ow; ++i) {
        const auto& [pixels, at, whole] = window[i];
        const auto mask = inside ? whole
                                 : mask_of(at, std::max<std::int64_t>(-start, 0),
                                           std::min(length, g.w * g.ic - start));
        // Elements outside the mask are not touched, wherever the pointer would take them.
        all = _mm512_mask_loadu_epi16(all, mask, pixels + start - at);
      }
      _mm512_store_si512(line, all);
    }
  }
}

/// Input row `v` (counted from the first that a lane reads) of a lane; no pixels where it is padding
/// or the lane does not exist. `fold` has room for a row of windows, where there are any.
inline LaneRow lane_row(const Source& s, const Lanes& lanes, const Axis& rows, const Axis& cols,
                        std::int64_t lane, std::int64_t v, bfloat16* fold) {
  if (lane >= lanes.count()) return {};
  const auto place = lanes.place(lane);
  const auto row = rows.first + v * rows.sample + place.row_part * rows.shift;
  if (row < 0 || row >= s.height) return {};
  const auto col = cols.first + place.col_part * cols.shift;
  if (s.window) {
    fold_windows(fold, s, place.image, row, col, cols.inputs);
    return {fold, round_up(s.count, depth), 0, cols.inputs};
  }
  const auto* from = s.data + ((place.image * s.height + row) * s.width + col) * s.channels;
  const auto samples = [&](std::int64_t pixels) {  // divisions would take as long as a short row
    return pixels <= 0 ? 0 : cols.sample == 1 ? pixels : pieces(pixels, cols.sample);
  };
  const auto begin = std::min(samples(-col), cols.inputs), inside = samples(s.width - col);
  return {from + s.channel, cols.sample * s.channels, begin,
          std::clamp(inside, begin, cols.inputs)};
}

/// The rows of all lanes of a block. Windows are laid out in `scratch`.
struct LaneRows {
  LaneRow of[Lanes::most];

  LaneRows(Scratch& scratch, const Source& s, const Lanes& lanes, std::int64_t block,
           const Axis& rows, const Axis& cols, std::int64_t v) {
    const auto windows = s.window ? cols.inputs * round_up(s.count, depth) : 0;
    auto* fold = scratch.take<bfloat16>(lanes.block * windows).data();
    for (std::int64_t i = 0; i < lanes.block; ++i) {
      of[i] = lane_row(s, lanes, rows, cols, block * lanes.block + i, v, fold + i * windows);
    }
  }
};

/// Pixels that are copied of one lane before the next: their tiles, 2 KB or more each, stay in L1.
inline constexpr std::int64_t copied_pixels = 8;

/// Copies a row for products that sum over channels: lane after lane of 32 channels in each tile.
/// `to` [pixel][chunk of 32 channels][lane], pixels `step` apart.
TINYNET_TARGET_AMX inline void copy_row(bfloat16* to, std::int64_t step, const Source& s,
                                        const Lanes& lanes, std::int64_t block, const Axis& rows,
                                        const Axis& cols, std::int64_t v) {
  const auto chunks = pieces(s.count, depth);
  const auto rest = s.count % depth ? (1u << (s.count % depth)) - 1 : ~0u;
  const auto chunk_step = lanes.block * depth;
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t lane = 0; lane < lanes.block; ++lane) {
      const auto& row = table.of[lane];
      for (std::int64_t x = first; x < last; ++x) {
        bfloat16* line = to + x * step + lane * depth;
        const bool inside = x >= row.begin && x < row.end;
        const auto* from = row.from + x * row.step;
        for (std::int64_t i = 0; i < chunks; ++i, line += chunk_step, from += depth) {
          const auto mask = !inside ? 0u : i + 1 < chunks ? ~0u : rest;
          _mm512_store_si512(line, _mm512_maskz_loadu_epi16(mask, from));
        }
      }
    }
  }
}

/// Copies a row for products that sum over lanes: pairs of lanes side by side, 16 channels in each
/// tile. `to` [chunk of 32 channels][pixel][half of the chunk][pair of lanes], chunks `chunk_step`
/// apart.
TINYNET_TARGET_AMX inline void pair_row(bfloat16* to, std::int64_t chunk_step, const Source& s,
                                        const Lanes& lanes, std::int64_t block, const Axis& rows,
                                        const Axis& cols, std::int64_t v) {
  alignas(64) static constexpr std::uint16_t low_channels[32] = {
      0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const auto low = _mm512_load_si512(low_channels);
  const auto high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  const auto chunks = pieces(s.count, depth);
  const auto rest = s.count % depth ? (1u << (s.count % depth)) - 1 : ~0u;
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t p = 0; p < lanes.block / 2; ++p) {
      const auto &even = table.of[2 * p], &odd = table.of[2 * p + 1];
      for (std::int64_t x = first; x < last; ++x) {
        const bool has_even = x >= even.begin && x < even.end;
        const bool has_odd = x >= odd.begin && x < odd.end;
        const auto *from_even = even.from + x * even.step, *from_odd = odd.from + x * odd.step;
        bfloat16* line = to + x * pixel_step(2) + p * depth;
        for (std::int64_t i = 0; i < chunks; ++i, line += chunk_step) {
          const auto mask = i + 1 < chunks ? ~0u : rest;
          const auto a = _mm512_maskz_loadu_epi16(has_even ? mask : 0, from_even + i * depth);
          const auto b = _mm512_maskz_loadu_epi16(has_odd ? mask : 0, from_odd + i * depth);
          _mm512_store_si512(line, _mm512_permutex2var_epi16(a, low, b));
          _mm512_store_si512(line + amx::tile_elements, _mm512_permutex2var_epi16(a, high, b));
        }
      }
    }
  }
}

/// Turns tiles of pairs of lanes x 16 channels into tiles of 16 channels x 32 lanes, in place.
TINYNET_TARGET_AMX inline void turn_tiles(bfloat16* tiles, std::int64_t pixels) {
  for (std::int64_t i = 0; i < pixels; ++i, tiles += pixel_step(2)) {
    for (std::int64_t half = 0; half < 2; ++half) {
      bfloat16* tile = tiles + half * amx::tile_elements;
      __m512i r[16];
#pragma GCC unroll 16
      for (int k = 0; k < 16; ++k) r[k] = _mm512_load_si512(tile + k * depth);
      amx::transpose_pairs(r);
#pragma GCC unroll 16
      for (int k = 0; k < 16; ++k) _mm512_store_si512(tile + k * depth, r[k]);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx

#endif
