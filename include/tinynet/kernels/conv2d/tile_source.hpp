#pragma once

#include <array>

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/tile_copy.hpp>

#ifdef TINYNET_TILES

/// Where tiles find the pixels of a convolution: in an image as it lies, or in windows of few channels and maps
/// that are laid out for it.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

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

/// A row of a window, as far as it lies in the 32 elements of a chunk.
struct WindowRow {
  const std::uint16_t* pixels;  // the image's row
  std::int64_t at;              // where it begins in the chunk, may be negative
  std::uint32_t mask;           // of the elements of the chunk that it fills
};

/// Elements first <= i < last of a row that begins at `at` in a chunk, as a mask of the chunk.
inline std::uint32_t window_mask(std::int64_t at, std::int64_t first, std::int64_t last) {
  const auto begin = std::max<std::int64_t>(at + first, 0);
  const auto end = std::min<std::int64_t>(at + last, depth);
  return begin < end ? (~0u >> (32 - (end - begin))) << begin : 0u;
}

/// Windows that lie in the image, one after the other: their rows begin at `start` in those of the image, and
/// `step` elements further on for each next.
template <int rows>
TINYNET_TARGET_BF16 void fold_inside(std::uint16_t* line, std::int64_t line_step,
                                     const WindowRow* window, std::int64_t start,
                                     std::int64_t step, std::int64_t count) {
  const std::uint16_t* from[rows];
#pragma GCC unroll 5
  for (int i = 0; i < rows; ++i) from[i] = window[i].pixels + start - window[i].at;
  for (; count > 0; --count, line += line_step) {
    auto all = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int i = 0; i < rows; ++i) {
      all = _mm512_mask_loadu_epi16(all, window[i].mask, from[i]);
      from[i] += step;
    }
    _mm512_store_si512(line, all);
  }
}

/// Any window, with zeros where it leaves the image, whose rows have `width` elements.
TINYNET_TARGET_BF16 inline void fold_window(std::uint16_t* line, Slice<const WindowRow> window,
                                            std::int64_t start, std::int64_t length,
                                            std::int64_t width) {
  auto all = _mm512_setzero_si512();
  for (const auto& row : window) {
    const auto mask = row.mask & window_mask(row.at, std::max<std::int64_t>(-start, 0),
                                             std::min(length, width - start));
    // Elements outside the mask are not touched, wherever the pointer would take them.
    all = _mm512_mask_loadu_epi16(all, mask, row.pixels + start - row.at);
  }
  _mm512_store_si512(line, all);
}

/// Lays out the windows of `count` outputs of a row, from output (row, col) of an image on: in each
/// window the rows of its pixels follow each other, zeros where there is padding; of these elements
/// `s.count` from `s.channel` on. They have 16 bits: convolutions of wider ones are not folded.
template <class = void>
void fold_windows(std::uint16_t* to, const Source& s, std::int64_t image, std::int64_t row,
                  std::int64_t col, std::int64_t count) {
  const auto& g = *s.window;
  const auto* x_data = reinterpret_cast<const std::uint16_t*>(s.data);
  const auto pixel = g.ic, length = g.kw * pixel, width = g.w * pixel;
  const auto chunks = pieces(s.count, depth), line_step = chunks * depth;
  // Outputs whose windows lie in the image.
  const auto last = col + count, room = g.w - g.kw + g.padding;
  const auto begin = std::clamp(pieces(g.padding, g.stride), col, last);
  const auto end = room < 0 ? begin : std::clamp(room / g.stride + 1, begin, last);
  // For each number of rows in a chunk; more are laid out as at the border.
  constexpr std::array inside = {fold_inside<1>, fold_inside<2>, fold_inside<3>, fold_inside<4>,
                                 fold_inside<5>};
  Scratch scratch;
  const auto window = scratch.list<WindowRow>(g.kh);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::size_t rows = 0;
    for (std::int64_t i = 0; i < g.kh; ++i) {
      const auto y = row * g.stride - g.padding + i * g.dilation;
      const auto at = i * length - s.channel - chunk * depth;
      const auto mask = window_mask(at, 0, length);
      if (y < 0 || y >= g.h || !mask) continue;
      window[rows++] = {x_data + (image * g.h + y) * width, at, mask};
    }
    const auto start = [&](std::int64_t x) { return (x * g.stride - g.padding) * pixel; };
    const bool few = rows > 0 && rows <= inside.size();
    auto* line = to + chunk * depth;
    for (auto x = col; x < last; ++x, line += line_step) {
      if (few && x == begin && begin < end) {
        inside[rows - 1](line, line_step, window.data(), start(x), g.stride * pixel, end - begin);
        x = end - 1;
        line += (end - begin - 1) * line_step;
        continue;
      }
      fold_window(line, window.first(x < g.ow ? rows : 0), start(x), length, width);
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

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
