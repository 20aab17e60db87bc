#pragma once

#include <utility>

#include <tinynet/core/cache.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/tile_source.hpp>

#ifdef TINYNET_TILES

/// Windows of one pixel, straight from the image: no lanes, no copy into tiles, which is most of what
/// such a convolution would do (20 -> 20 channels are 5 macs a byte). Forward it is the product of an
/// image [pixel, ic] and the weights. Pixels that do not follow each other in memory (strides, maps,
/// whole windows in place of a pixel) are laid out in L1 first, a block at a time.
///
/// What multiplies, tiles (amx_pixels.hpp) or dot products (avx512_pixels.hpp), is a struct:
///
///     struct Unit {
///       // Channels in a row of a tile, or 0: they are laid out in 32s, with zeros at their end.
///       static std::int64_t depth_of(std::int64_t in);
///       Unit(Scratch&, const Pixels&);              // made and used by one thread
///       void operator()(const Output&, const bfloat16* x, const bfloat16* weights,
///                       std::int64_t pixels);
///       void finish();   // writes what is not written yet
///     };
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

using conv2d_tiles::Source;

inline constexpr std::int64_t width = 32;  // outputs that are summed together
inline constexpr std::int64_t units = 32;  // at most; each has moments of its own

/// One convolution, forward or of the gradient: `out` channels of a pixel from `in` of another.
struct Pixels {
  std::int64_t in = 0, out = 0;
  std::int64_t row = 0;             // elements of a pixel that are multiplied: `in`, then zeros
  std::int64_t depth = 0;           // of them in a row of a tile; the last may have fewer
  std::int64_t rows = 0, cols = 0;  // of outputs, of all images together
  std::int64_t oh = 1, stride = 1;

  std::int64_t count() const { return rows * cols; }
  /// Where the input lies as it is multiplied, pixel after pixel; else null.
  const bfloat16* adjacent(const Source& s) const {
    const bool lies = !s.window && !s.map && stride == 1 && row == in;
    return lies ? reinterpret_cast<const bfloat16*>(s.data) : nullptr;
  }
  /// Elements of the weights of 32 outputs.
  std::int64_t packed_block() const { return pieces(row, depth) * 2 * tiles::tile_elements; }
  /// Pixels of a block: 16 KB, a third of L1, or more where channels are many.
  std::int64_t block() const { return std::clamp<std::int64_t>(8192 / row / 32 * 32, 32, 256); }
};

/// What both units refuse; a window may have been folded.
inline const char* refuses_shape(const Conv2dGeometry& g, bool backward) {
  if (g.kh * g.kw != 1 || g.padding != 0) return "a window of several pixels, or padding";
  if (backward && g.stride != 1) return "gradients of strides leave pixels out";
  return g.groups != 1 ? "several groups" : nullptr;
}

template <class Unit>
Pixels pixels_of(const Conv2dGeometry& g, bool backward) {
  const auto f = backward ? g : conv2d_tiles::folded(g);
  const auto in = backward ? g.oc : f.ic, out = backward ? g.ic : f.oc;
  const bool folds = !backward && conv2d_tiles::folds(g);
  const auto depth = folds ? 0 : Unit::depth_of(in);  // windows are laid out in whole registers
  const auto row = depth ? in : round_up(in, tiles::tile_depth);
  return {in, out, row, depth ? depth : tiles::tile_depth, f.n * f.oh, f.ow, f.oh, f.stride};
}

/// [block of 32 outputs][chunk of inputs][half of the outputs]: tiles.
template <class Unit, bool backward>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  const auto p = pixels_of<Unit>(g, backward);
  return pieces(p.out, width) * p.packed_block() * std::int64_t{sizeof(bfloat16)};
}

template <class Unit, bool backward>
void pack(std::byte* packed, std::span<const float> w, const Conv2dGeometry& g) {
  const auto p = pixels_of<Unit>(g, backward);
  const auto out_step = backward ? 1 : p.in, in_step = backward ? p.out : 1;
  auto* to = reinterpret_cast<bfloat16*>(packed);
  for (std::int64_t o = 0; o < p.out; o += width) {
    for (std::int64_t i = 0; i < p.in; i += p.depth, to += 2 * tiles::tile_elements) {
      tiles::pack_tiles(
          to,
          Matrix<const float>{w.data() + o * out_step + i * in_step, std::min(p.out - o, width),
                              std::min(p.in - i, p.depth), out_step, in_step},
          tiles::TileOrder::pairs);
    }
  }
}

/// Lays out the pixels that outputs `range` read, `p.row` elements each; those past the channels stay.
template <class = void>
void lay_out(bfloat16* to, const Source& s, const Pixels& p, Range range) {
  const auto* x = reinterpret_cast<const bfloat16*>(s.data);
  for (auto i = range.begin, end = i; i < range.end; i = end) {  // the part in one row of an image
    const auto row = i / p.cols, col = i % p.cols;
    end = std::min(range.end, i + p.cols - col);
    if (s.window) {
      conv2d_tiles::fold_windows(reinterpret_cast<std::uint16_t*>(to), s, row / p.oh, row % p.oh,
                                 col, end - i);
      to += (end - i) * p.row;
      continue;
    }
    const auto* from =
        x + ((row / p.oh * s.height + row % p.oh * p.stride) * s.width + col * p.stride) * p.in;
    // With a stride the next row that is read.
    const auto ahead = p.stride == 1 ? prefetch_distance / std::int64_t{sizeof(bfloat16)}
                                     : p.stride * s.width * p.in;
    for (auto pixel = i; pixel < end; ++pixel, to += p.row, from += p.stride * p.in) {
      prefetch(from + ahead, p.in * std::int64_t{sizeof(bfloat16)});
      if (s.map) s.map(to, from, 1);
      else std::copy_n(from, p.in, to);
    }
  }
}

/// Where the pixels that outputs `range` read follow each other: in the image, or laid out in `copy`.
template <class = void>
const bfloat16* rows_of(bfloat16* copy, const Source& s, const Pixels& p, Range range) {
  if (const auto* image = p.adjacent(s)) return image + range.begin * p.row;
  lay_out(copy, s, p, range);
  return copy;
}

/// What becomes of the outputs of one block of channels.
struct Output {
  bfloat16* to;       // of the first pixel
  std::int64_t step;  // elements from pixel to pixel
  Store store;
  __mmask32 mask;       // of channels
  const float* bias;    // [32]
  const float* center;  // [32], of the moments
  float* moments;       // [32] sums, to which pixels are added; null: not wanted
  float* squares;       // [32]
  bool reads_ahead;     // hints that a unit may pass over: ask memory for the pixels behind these,
  bfloat16* ahead;      // and for as many outputs as these from there on; null: for none
};

/// Some pixels and some blocks of 32 outputs; `moments` [2, out], or null.
template <class Unit>
void run_unit(bfloat16* y, Store store, const Source& s, const bfloat16* weights,
              const Conv2dFusion<bfloat16>& fusion, const Pixels& p, Range pixels, Range blocks,
              double* moments) {
  Scratch scratch;
  const auto outputs = pieces(p.out, width) * width;
  const auto of_channels = [&](const auto& values) {  // [outputs], zeros where there are none
    const auto list = scratch.list<float>(outputs);
    std::fill(list.begin(), list.end(), 0.0f);
    std::copy(values.begin(), values.end(), list.begin());
    return list.data();
  };
  const float* const bias = of_channels(fusion.bias);
  const float* const center = of_channels(fusion.moments.center);
  float* const sums = of_channels(std::span<const float>());
  float* const squares = of_channels(std::span<const float>());
  const auto copy = scratch.list<bfloat16>(p.block() * p.row);
  std::fill(copy.begin(), copy.end(), bfloat16());
  const auto* const adjacent = p.adjacent(s);
  Unit unit(scratch, p);
  for (auto begin = pixels.begin, end = begin; begin < pixels.end; begin = end) {
    end = std::min(begin + p.block(), pixels.end);
    // Tiles read 16 pixels, which the last ones of an image may not be.
    const bool in_place = adjacent && (end - begin) % tiles::tile_rows == 0;
    if (!in_place) lay_out(copy.data(), s, p, {begin, end});
    const auto* from = in_place ? adjacent + begin * p.row : copy.data();
    const auto last = std::min(blocks.end * width, p.out);
    // Memory is asked for a share of the next block's outputs beside each product: with all of them at
    // once the first layer, 1 -> 64 at 28, takes 1.2 times as long, 64 -> 128 at stride 2 1.1 times.
    const bool whole = blocks.begin == 0 && last == p.out && end < p.count();
    const auto ahead = [&](std::int64_t o) {
      return !whole           ? nullptr
             : p.out <= width ? y + begin * p.out + std::max(32 * p.out, prefetch_distance / 2)
                              : y + end * p.out + (end - begin) * o;
    };
    for (auto o = blocks.begin * width; o < last; o += width) {
      unit({y + begin * p.out + o, p.out, store, conv2d_tiles::chunk_mask(p.out, o), bias + o,
            center + o, moments ? sums + o : nullptr, squares + o,
            in_place && o == blocks.begin * width, ahead(o)},
           from, weights + o / width * p.packed_block(), end - begin);
    }
    unit.finish();
    for (auto o = blocks.begin * width; moments && o < last; ++o) {
      moments[o] += double{std::exchange(sums[o], 0.0f)};
      moments[p.out + o] += double{std::exchange(squares[o], 0.0f)};
    }
  }
}

/// Where pixels are few, units share out the outputs as well.
template <class Unit>
void run(bfloat16* y, Store store, const Source& s, const std::byte* packed,
         const Conv2dFusion<bfloat16>& fusion, const Pixels& p) {
  const auto grain = pieces(std::max<std::int64_t>(p.count(), 1), p.block() * units) * p.block();
  const auto parts = pieces(p.count(), grain), blocks = pieces(p.out, width);
  const auto grain_blocks =
      pieces(blocks, std::max<std::int64_t>(units / 2 / std::max<std::int64_t>(parts, 1), 1));
  const auto ranges = pieces(blocks, grain_blocks);
  const auto sums = fusion.moments.sums;
  Scratch scratch;
  const auto moments = scratch.list<double>(parts * std::ssize(sums));
  std::fill(moments.begin(), moments.end(), 0.0);
  parallel_for(parts * ranges, Cost::of_macs(p.count() * p.in * p.out / 4), [&](std::int64_t i) {
    const auto part = i / ranges, range = i % ranges;
    run_unit<Unit>(y, store, s, reinterpret_cast<const bfloat16*>(packed), fusion, p,
                   {part * grain, std::min(p.count(), (part + 1) * grain)},
                   {range * grain_blocks, std::min(blocks, (range + 1) * grain_blocks)},
                   sums.empty() ? nullptr : moments.data() + part * std::ssize(sums));
  });
  join_moments(sums, moments.data(), parts);
}

template <class Unit>
void forward(std::span<bfloat16> y, std::span<const bfloat16> x, const std::byte* packed,
             const Conv2dFusion<bfloat16>& fusion, const Conv2dGeometry& g) {
  Scratch scratch;
  const auto p = pixels_of<Unit>(g, false);
  const auto source = conv2d_tiles::mapped_source(x, fusion.map, g, scratch);
  run<Unit>(y.data(), Store::overwrite, source, packed, fusion, p);
}

template <class Unit>
void backward_input(std::span<bfloat16> dx, Store store, std::span<const bfloat16> dy,
                    const std::byte* packed, const Conv2dGeometry& g) {
  run<Unit>(dx.data(), store, conv2d_tiles::image_source(dy.data(), g.oh, g.ow, g.oc), packed, {},
            pixels_of<Unit>(g, true));
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

#endif
