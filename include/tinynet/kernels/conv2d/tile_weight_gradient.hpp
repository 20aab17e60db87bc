#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/tile_pack.hpp>
#include <tinynet/kernels/gemm/amx_product.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>

#ifdef TINYNET_TILES

/// The weight gradient through tiles: for each tap, 32 output and 32 input channels, a sum over the
/// output pixels and 32 lanes of each. x becomes tiles of pairs of lanes once, dy the same and is
/// turned; then all taps read both without another move, whatever the window, and the sums of a tap
/// stay in tile registers over a whole chunk of pixels.
///
/// A unit has some of the blocks of lanes and a range of channels on each side, such that its sums
/// and a chunk of both operands fit L2. Units with the same channels add into partial gradients,
/// which are added in their order at the end.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// How a weight gradient is cut, by the shape alone. Channels are counted in blocks of 32.
struct GradientCut {
  std::int64_t oc_range = 1, ic_range = 1;     // blocks of a unit
  std::int64_t oc_ranges = 1, ic_ranges = 1;   // that cover all of them
  std::int64_t partials = 1, lane_blocks = 1;  // partial gradients, blocks of lanes of each
  std::int64_t blocks = 1, rows = 1;           // blocks of lanes and output rows of a chunk
  std::int64_t ring = 1;                       // input rows that it reads
};

inline constexpr std::int64_t sums_of_block = 32 * 32;

inline GradientCut cut_gradient(const Lanes& lanes, std::int64_t tiles, tiles::TileUnit unit) {
  const auto l2 = tiles::l2_bytes(unit) * 3 / 4;
  const auto most_sums = tiles::l2_bytes(unit) * 5 / 16;  // bytes of a unit's sums
  constexpr std::int64_t most_partials = 4 << 20, units = 16, enough_steps = 48;
  const auto& g = lanes.g;
  const auto oc = pieces(g.oc / g.groups, depth), ic = pieces(g.ic / g.groups, depth);
  const auto block_bytes = g.kh * g.kw * sums_of_block * std::int64_t{sizeof(float)};
  GradientCut cut{.oc_range = oc, .ic_range = ic};
  while (cut.oc_range * cut.ic_range * block_bytes > most_sums && cut.oc_range * cut.ic_range > 1) {
    auto& larger = cut.oc_range >= cut.ic_range ? cut.oc_range : cut.ic_range;
    larger = pieces(larger, 2);
  }
  cut.oc_ranges = pieces(oc, cut.oc_range);
  cut.ic_ranges = pieces(ic, cut.ic_range);

  const auto pixel_bytes = pixel_step(tiles) * std::int64_t{sizeof(bfloat16)};
  const auto budget = l2 - cut.oc_range * cut.ic_range * block_bytes;
  const auto bytes = [&](std::int64_t rows, std::int64_t ring) {
    return pixel_bytes *
           (rows * lanes.cols.outputs * cut.oc_range + ring * lanes.cols.inputs * cut.ic_range);
  };
  const auto ring_of = [&](std::int64_t rows) {
    const auto reach = (rows - 1) * g.stride + (g.kh - 1) * g.dilation;
    return std::min(reach / lanes.rows.sample + 1, lanes.rows.inputs);
  };
  cut.rows = lanes.rows.outputs;
  while (cut.rows > 1 && bytes(cut.rows, ring_of(cut.rows)) > budget)
    cut.rows = pieces(cut.rows, 2);
  cut.ring = ring_of(cut.rows);
  if (cut.rows == lanes.rows.outputs) {
    const auto fit = budget / bytes(cut.rows, cut.ring);
    const auto wanted = pieces(enough_steps, cut.rows * lanes.cols.outputs);
    cut.blocks = std::clamp<std::int64_t>(std::min(fit, wanted), 1, lanes.blocks());
  }
  const auto gradient_bytes = block_bytes * oc * ic * g.groups;
  const auto most =
      std::min(most_partials / gradient_bytes, units / (cut.oc_ranges * cut.ic_ranges * g.groups));
  const auto chunks = pieces(lanes.blocks(), cut.blocks);
  std::int64_t partials =
      1;  // powers of two: three for eight blocks would keep one of two cores waiting
  while (2 * partials <= std::min(most, chunks)) partials *= 2;
  cut.lane_blocks = pieces(chunks, partials) * cut.blocks;
  cut.partials = pieces(lanes.blocks(), cut.lane_blocks);
  return cut;
}

/// The weight gradient with its operands, called for one unit of it at a time.
struct SumLanes {
  const Lanes& lanes;
  GradientCut cut;
  Source dy, x;
  tiles::TileUnit tile_unit;
  float* sums;  // [partial][group][oc range][ic range][tap][oc block][ic block][32][32]

  std::int64_t pixel() const { return pixel_step(2 * x.pieces); }
  std::int64_t taps() const { return lanes.g.kh * lanes.g.kw; }
  std::int64_t range_size() const { return taps() * cut.oc_range * cut.ic_range * sums_of_block; }
  std::int64_t partial_size() const {
    return lanes.g.groups * cut.oc_ranges * cut.ic_ranges * range_size();
  }
  std::int64_t units() const {
    return cut.partials * lanes.g.groups * cut.oc_ranges * cut.ic_ranges;
  }

  void operator()(std::int64_t unit) const {
    const auto& g = lanes.g;
    const auto ic_range = unit % cut.ic_ranges, oc_range = unit / cut.ic_ranges % cut.oc_ranges;
    const auto group = unit / cut.ic_ranges / cut.oc_ranges % g.groups;
    const auto partial = unit / cut.ic_ranges / cut.oc_ranges / g.groups;
    const auto group_oc = g.oc / g.groups, group_ic = g.ic / g.groups;
    const auto narrow = [&](const Source& all, std::int64_t range, std::int64_t range_blocks,
                            std::int64_t channels) {
      auto part = all;
      part.channel = group * channels + range * range_blocks * depth;
      part.count = std::min(range_blocks * depth, channels - range * range_blocks * depth);
      return part;
    };
    const auto dy_part = narrow(dy, oc_range, cut.oc_range, group_oc);
    const auto x_part = narrow(x, ic_range, cut.ic_range, group_ic);

    // Both are copied as [block of 32 channels][block of lanes][row][pixel].
    const auto& rows = lanes.rows;
    const auto& cols = lanes.cols;
    const auto dy_row = cols.outputs * pixel(), dy_lanes = cut.rows * dy_row;
    const auto x_row = cols.inputs * pixel(), x_lanes = cut.ring * x_row;
    Scratch scratch;
    auto* dy_tiles = scratch.take<bfloat16>(cut.oc_range * cut.blocks * dy_lanes).data();
    auto* x_tiles = scratch.take<bfloat16>(cut.ic_range * cut.blocks * x_lanes).data();
    const auto products = x.pieces * (x.pieces + 1) / 2;
    const auto steps = scratch.list<tiles::Step>(cut.blocks * cut.rows * cols.outputs * products);
    const auto outputs = [](const Axis& axis) {  // dy as it lies: a pixel of it reads itself
      return Axis{.parts = axis.parts,
                  .outputs = axis.outputs,
                  .shift = axis.outputs,
                  .inputs = axis.outputs};
    };
    const auto dy_rows = outputs(rows), dy_cols = outputs(cols);

    float* to = sums + ((partial * g.groups + group) * cut.oc_ranges * cut.ic_ranges +
                        oc_range * cut.ic_ranges + ic_range) *
                           range_size();
    const tiles::TileSection section(tile_unit);
    bool accumulate = false;
    const auto lanes_end = std::min((partial + 1) * cut.lane_blocks, lanes.blocks());
    for (auto block = partial * cut.lane_blocks; block < lanes_end; block += cut.blocks) {
      const auto blocks = std::min(cut.blocks, lanes_end - block);
      std::int64_t copied = 0;
      for (std::int64_t row = 0; row < rows.outputs; row += cut.rows) {
        const auto row_end = std::min(row + cut.rows, rows.outputs);
        const auto needed = rows.inputs_before(row_end);
        copied = std::max(copied, needed - cut.ring);
        for (std::int64_t b = 0; b < blocks; ++b) {
          for (auto r = row; r < row_end; ++r) {
            auto* at = dy_tiles + b * dy_lanes + (r - row) * dy_row;
            pair_row(at, cut.blocks * dy_lanes, dy_part, lanes, block + b, dy_rows, dy_cols, r);
            for (std::int64_t o = 0; o < pieces(dy_part.count, depth); ++o) {
              turn_tiles(at + o * cut.blocks * dy_lanes, cols.outputs, 2 * dy.pieces);
            }
          }
          for (auto v = copied; v < needed; ++v) {
            pair_row(x_tiles + b * x_lanes + v % cut.ring * x_row, cut.blocks * x_lanes, x_part,
                     lanes, block + b, rows, cols, v);
          }
        }
        copied = std::max(copied, needed);
        for (std::int64_t tap = 0; tap < taps(); ++tap) {
          const auto count = list_steps(steps, tap / g.kw, tap % g.kw, blocks, row, row_end);
          if (count == 0 && accumulate) continue;
          for (std::int64_t o = 0; o < pieces(dy_part.count, depth); ++o) {
            for (std::int64_t i = 0; i < pieces(x_part.count, depth); ++i) {
              const auto tall = dy_part.count - o * depth > depth / 2 ? 2 : 1;
              const auto wide = x_part.count - i * depth > depth / 2 ? 2 : 1;
              const auto sum_steps = tile_unit == tiles::TileUnit::amx
                                         ? tiles::sum_steps_of(tall, wide)
                                         : tiles::sum_steps_by_dots_of(tall, wide);
              sum_steps(to + ((tap * cut.oc_range + o) * cut.ic_range + i) * sums_of_block,
                        dy_tiles + o * cut.blocks * dy_lanes, x_tiles + i * cut.blocks * x_lanes,
                        steps.data(), count, 1, accumulate);
            }
          }
        }
        accumulate = true;
      }
    }
  }

  /// Adds the partial sums of one tap and output channel into dw[oc, tap, ic / groups].
  void store(float* dw, Store how, std::int64_t oc, std::int64_t tap) const {
    const auto group_oc = lanes.g.oc / lanes.g.groups, group_ic = lanes.g.ic / lanes.g.groups;
    const auto group = oc / group_oc, o = oc % group_oc / depth, row = oc % group_oc % depth;
    for (std::int64_t ic = 0; ic < group_ic; ic += depth) {
      const auto i = ic / depth, count = std::min(group_ic - ic, depth);
      const auto range =
          (group * cut.oc_ranges + o / cut.oc_range) * cut.ic_ranges + i / cut.ic_range;
      // Tiles of a block lie side by side, one where 16 channels are left.
      const auto width = count > depth / 2 ? depth : depth / 2;
      const float* from =
          sums + range * range_size() +
          ((tap * cut.oc_range + o % cut.oc_range) * cut.ic_range + i % cut.ic_range) *
              sums_of_block +
          row * width;
      float* to = dw + (oc * taps() + tap) * group_ic + ic;
      for (std::int64_t j = 0; j < count; ++j) {
        float sum = from[j];
        for (std::int64_t p = 1; p < cut.partials; ++p) sum += from[p * partial_size() + j];
        to[j] = how == Store::add ? to[j] + sum : sum;
      }
    }
  }

 private:
  /// The output pixels of a chunk that meet a tap, in all its blocks of lanes.
  std::int64_t list_steps(Slice<tiles::Step> steps, std::int64_t tap_row, std::int64_t tap_col,
                          std::int64_t blocks, std::int64_t row, std::int64_t row_end) const {
    const auto dy_row = lanes.cols.outputs * pixel(), x_row = lanes.cols.inputs * pixel();
    std::size_t count = 0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      for (auto r = row; r < row_end; ++r) {
        for (const auto& down : lanes.rows.of(r)) {
          if (down.tap != tap_row) continue;
          for (std::int64_t c = 0; c < lanes.cols.outputs; ++c) {
            for (const auto& across : lanes.cols.of(c)) {
              if (across.tap != tap_col) continue;
              const auto dy_at = (b * cut.rows + r - row) * dy_row + c * pixel();
              const auto x_at = (b * cut.ring + down.in % cut.ring) * x_row + across.in * pixel();
              for (std::int64_t i = 0; i < x.pieces; ++i) {  // see tile_pieces.hpp
                for (std::int64_t j = 0; i + j < x.pieces; ++j) {
                  steps[count++] = {dy_at + i * pair, x_at + j * pair};
                }
              }
            }
          }
        }
      }
    }
    return static_cast<std::int64_t>(count);
  }
};

/// dw[oc, kh, kw, ic / groups] = gradient, or += .
inline void weight_gradient(float* dw, Store store, const Source& dy, const Source& x,
                            const Conv2dGeometry& g, tiles::TileUnit unit) {
  Scratch scratch;
  const auto lanes = make_lanes(g, false, 2 * tiles::tile_rows, 1, scratch);
  SumLanes run{lanes, cut_gradient(lanes, 2 * x.pieces, unit), dy, x, unit, nullptr};
  if (x.map && run.cut.oc_ranges * run.cut.ic_ranges > 1) {  // of which each would map all
    run.x.data =
        mapped_copy(x.data, x.map, g.n * x.height, x.width, x.channels * x.element, scratch);
    run.x.map = {};
  }
  run.sums = scratch.take<float>(run.cut.partials * run.partial_size()).data();
  parallel_for(run.units(), run);
  parallel_for(g.oc, [&](std::int64_t oc) {
    for (std::int64_t tap = 0; tap < run.taps(); ++tap) run.store(dw, store, oc, tap);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
