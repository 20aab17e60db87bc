#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/lanes.hpp>
#include <tinynet/kernels/conv2d/tile_pieces.hpp>

#ifdef TINYNET_TILES

/// Copying images into tiles, a row of all lanes of a block at a time. Walking along one image
/// keeps the reads in order; what is written lands in L2, a line of 64 bytes in each pixel's tiles.
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
template <Scalar T>
Source image_source(const T* data, std::int64_t height, std::int64_t width, std::int64_t channels) {
  return {reinterpret_cast<const std::byte*>(data),
          height,
          width,
          channels,
          sizeof(T),
          pieces_of<T>,
          copy_pixels<T>,
          pair_pixels<T>};
}
template <Scalar T>
Source input_source(const T* x, const Conv2dGeometry& g) {
  if (!folds(g)) return image_source(x, g.h, g.w, g.ic);
  auto source = image_source(x, g.oh, g.ow, 0);
  source.window = &g;
  source.count = g.kh * g.kw * g.ic;
  return source;
}

/// A mapped copy of `rows` rows of pixels.
inline const std::byte* mapped_copy(const std::byte* from, InputMap map, std::int64_t rows,
                                    std::int64_t width, std::int64_t pixel_bytes,
                                    Scratch& scratch) {
  auto* const copy = scratch.take<std::byte>(rows * width * pixel_bytes).data();
  parallel_ranges(rows, 64, [&](Range some) {
    const auto first = some.begin * width * pixel_bytes;
    map(copy + first, from + first, some.size() * width);
  });
  return copy;
}

/// The map of x as a source. Windows are cut from x as it lies, and each group would map the channels of all,
/// so that these read a copy.
template <Scalar T>
Source mapped_source(std::span<const T> x, InputMap map, const Conv2dGeometry& g,
                     Scratch& scratch) {
  auto source = input_source(x.data(), g);
  if (!map || (!folds(g) && g.groups == 1)) source.map = map;
  else source.data = mapped_copy(source.data, map, g.n * g.h, g.w, g.ic * source.element, scratch);
  return source;
}

/// Lays out the windows of `count` outputs of a row, from output (row, col) of an image on: in each
/// window the rows of its pixels follow each other, zeros where there is padding; of these elements
/// `s.count` from `s.channel` on. They have 16 bits: convolutions of wider ones are not folded.
TINYNET_TARGET_BF16 inline void fold_windows(std::uint16_t* to, const Source& s, std::int64_t image,
                                             std::int64_t row, std::int64_t col,
                                             std::int64_t count) {
  const auto& g = *s.window;
  const auto* x_data = reinterpret_cast<const std::uint16_t*>(s.data);
  const auto pixel = g.ic, length = g.kw * pixel, width = g.w * pixel;
  const auto chunks = pieces(s.count, depth);
  struct Row {                    // of a window, as far as it lies in a chunk
    const std::uint16_t* pixels;  // the image's row
    std::int64_t at;              // where it begins in the chunk, may be negative
    std::uint32_t mask;           // of the elements of the chunk that it fills
  };
  // `first` to `last` are the elements of the row that lie in the image.
  const auto mask_of = [](std::int64_t at, std::int64_t first, std::int64_t last) {
    const auto begin = std::max<std::int64_t>(at + first, 0);
    const auto end = std::min<std::int64_t>(at + last, depth);
    return begin < end ? (~0u >> (32 - (end - begin))) << begin : 0u;
  };
  Scratch scratch;
  const auto window = scratch.list<Row>(g.kh);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::size_t rows = 0;
    for (std::int64_t i = 0; i < g.kh; ++i) {
      const auto y = row * g.stride - g.padding + i * g.dilation;
      const auto at = i * length - s.channel - chunk * depth;
      const auto mask = mask_of(at, 0, length);
      if (y < 0 || y >= g.h || !mask) continue;
      window[rows++] = {x_data + (image * g.h + y) * width, at, mask};
    }
    auto* line = to + chunk * depth;
    for (std::int64_t x = col; x < col + count; ++x, line += chunks * depth) {
      const auto start = (x * g.stride - g.padding) * pixel;  // in a row of the image
      const bool inside = start >= 0 && start + length <= width;
      auto all = _mm512_setzero_si512();
      for (std::size_t i = 0; i < rows && x < g.ow; ++i) {
        const auto& [pixels, at, whole] = window[i];
        const auto mask = inside ? whole
                                 : mask_of(at, std::max<std::int64_t>(-start, 0),
                                           std::min(length, width - start));
        // Elements outside the mask are not touched, wherever the pointer would take them.
        all = _mm512_mask_loadu_epi16(all, mask, pixels + start - at);
      }
      _mm512_store_si512(line, all);
    }
  }
}

/// Bytes of a row of windows; 0 where the image is read as it lies.
inline std::int64_t row_bytes(const Source& s, const Axis& cols) {
  return s.window ? cols.inputs * round_up(s.count, depth) * s.element : 0;
}

/// Input row `v` (counted from the first that a lane reads) of a lane; no pixels where it is padding
/// or the lane does not exist. `buffer` has room for `row_bytes`.
inline LaneRow lane_row(const Source& s, const Lanes& lanes, const Axis& rows, const Axis& cols,
                        std::int64_t lane, std::int64_t v, std::byte* buffer) {
  if (lane >= lanes.count()) return {};
  const auto place = lanes.place(lane);
  const auto row = rows.first + v * rows.sample + place.row_part * rows.shift;
  if (row < 0 || row >= s.height) return {};
  const auto col = cols.first + place.col_part * cols.shift;
  if (s.window) {
    fold_windows(reinterpret_cast<std::uint16_t*>(buffer), s, place.image, row, col, cols.inputs);
    return {buffer, round_up(s.count, depth) * s.element, 0, cols.inputs};
  }
  const auto pixel_bytes = s.channels * s.element;
  const auto* from = s.data + ((place.image * s.height + row) * s.width + col) * pixel_bytes +
                     s.channel * s.element;
  const auto samples = [&](std::int64_t pixels) {  // divisions would take as long as a short row
    return pixels <= 0 ? 0 : cols.sample == 1 ? pixels : pieces(pixels, cols.sample);
  };
  const auto begin = std::min(samples(-col), cols.inputs), inside = samples(s.width - col);
  const auto end = std::clamp(inside, begin, cols.inputs);
  return {from, cols.sample * pixel_bytes, begin, end};
}

/// The rows of all lanes of a block. Windows are laid out in `scratch`.
struct LaneRows {
  LaneRow of[Lanes::most];

  LaneRows(Scratch& scratch, const Source& s, const Lanes& lanes, std::int64_t block,
           const Axis& rows, const Axis& cols, std::int64_t v) {
    const auto bytes = row_bytes(s, cols);
    auto* buffer = scratch.take<std::byte>(lanes.block * bytes).data();
    for (std::int64_t i = 0; i < lanes.block; ++i) {
      of[i] = lane_row(s, lanes, rows, cols, block * lanes.block + i, v, buffer + i * bytes);
    }
  }
};

/// Pixels that are copied of one lane before the next: their tiles, 2 KB or more each, stay in L1.
inline constexpr std::int64_t copied_pixels = 8;

/// Pixels of a lane's row that a map is applied to just before they are copied, in L1.
class MappedPixels {
 public:
  MappedPixels(Scratch& scratch, const Source& s)
      : s_(s), pixel_(s.channels * s.element), offset_(s.channel * s.element) {
    if (s.map) buffer_ = scratch.take<std::byte>(copied_pixels * pixel_).data();
  }

  /// The row for [first, last), copied_pixels at most.
  LaneRow of(const LaneRow& row, std::int64_t first, std::int64_t last) const {
    return s_.map ? mapped(row, first, last) : row;
  }

 private:
  [[gnu::noinline]] LaneRow mapped(const LaneRow& row, std::int64_t first,
                                   std::int64_t last) const {
    const auto begin = std::max(first, row.begin), end = std::min(last, row.end);
    if (begin >= end) return row;
    const auto* from = row.from - offset_;
    if (row.step == pixel_) {
      s_.map(buffer_, from + begin * pixel_, end - begin);
    } else {
      for (auto x = begin; x < end; ++x) {
        s_.map(buffer_ + (x - begin) * pixel_, from + x * row.step, 1);
      }
    }
    return {buffer_ + offset_ - begin * pixel_, pixel_, begin, end};
  }

  const Source& s_;
  std::int64_t pixel_, offset_;  // bytes
  std::byte* buffer_ = nullptr;
};

/// Copies a row of all lanes for products that sum over channels, pixels `step` apart.
inline void copy_row(bfloat16* to, std::int64_t step, const Source& s, const Lanes& lanes,
                     std::int64_t block, const Axis& rows, const Axis& cols, std::int64_t v) {
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  const MappedPixels mapped(scratch, s);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t lane = 0; lane < lanes.block; ++lane) {
      s.copy(to + lane * depth, step, mapped.of(table.of[lane], first, last), first, last, s.count);
    }
  }
}

/// Copies a row of all lanes for products that sum over lanes.
inline void pair_row(bfloat16* to, std::int64_t chunk_step, const Source& s, const Lanes& lanes,
                     std::int64_t block, const Axis& rows, const Axis& cols, std::int64_t v) {
  Scratch scratch;
  const LaneRows table(scratch, s, lanes, block, rows, cols, v);
  const MappedPixels even(scratch, s), odd(scratch, s);
  for (std::int64_t first = 0; first < cols.inputs; first += copied_pixels) {
    const auto last = std::min(first + copied_pixels, cols.inputs);
    for (std::int64_t lane = 0; lane < lanes.block; lane += 2) {
      s.pair(to + lane / 2 * depth, chunk_step, even.of(table.of[lane], first, last),
             odd.of(table.of[lane + 1], first, last), first, last, s.count);
    }
  }
}

/// Turns tiles of pairs of lanes x 16 channels into tiles of 16 channels x 32 lanes, in place;
/// `count` tiles in each pixel.
TINYNET_TARGET_BF16 inline void turn_tiles(bfloat16* tiles, std::int64_t pixels,
                                           std::int64_t count) {
  for (std::int64_t i = 0; i < pixels; ++i, tiles += pixel_step(count)) {
    for (std::int64_t t = 0; t < count; ++t) {
      tiles::turn_tile(tiles + t * tiles::tile_elements);
    }
  }
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
