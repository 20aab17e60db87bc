#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/amx_quad.hpp>
#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/tile_pack.hpp>
#include <tinynet/kernels/conv2d/tile_weights.hpp>
#include <tinynet/kernels/conv2d/tile_write.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>

#ifdef TINYNET_TILES

/// The forward pass and the input gradient through tiles: for each quad of output pixels of 16 lanes
/// and 64 output channels, the sums over the taps that reach them and over chunks of 32 input channels.
///
/// A unit copies the rows it reads of its lanes into tiles, as many as fit L2 beside the weights of
/// 64 output channels; rows that the next strip reads again stay where they are. From there on every
/// tile is 1 KB in one piece.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// Output channels that dot products sum in turn: weights of more would not fit L2 beside a strip.
inline constexpr std::int64_t dot_width = 32;

/// How the lanes are cut into units and strips, by the shape alone.
struct CorrelateCut {
  std::int64_t blocks = 1;          // of lanes in a strip
  std::int64_t rows = 1;            // of outputs in a strip, all of them if blocks > 1
  std::int64_t ring = 1;            // input rows that a strip reads
  std::int64_t unit_rows = 1;       // of outputs in a unit: whole strips
  std::int64_t width = quad_width;  // output channels that are summed in turn
  std::int64_t channel_parts = 1;   // of the blocks of `width` channels, in units of their own
  std::int64_t pixel = 0, row = 0, block = 0;  // strides of the copy, elements
};

inline CorrelateCut cut_correlation(const Lanes& lanes, const Channels& c, std::int64_t tiles,
                                    tiles::TileUnit unit) {
  // Rows of a strip: L2 they share with weights and with what is written. With 384 KB of 2 MB
  // 512 -> 512 at 4 takes 7 % longer, which reads its weights more often, with 1 MB 64 -> 64 at 28 5 %.
  const std::int64_t budget = tiles::l2_bytes(unit) * 3 / 8 / std::int64_t{sizeof(bfloat16)};
  constexpr std::int64_t units = 16;
  CorrelateCut cut;
  if (unit == tiles::TileUnit::avx512) cut.width = dot_width;
  cut.pixel = pixel_step(c.chunks() * tiles);
  cut.row = lanes.cols.inputs * cut.pixel;
  const auto ring_of = [&](std::int64_t rows) {
    std::int64_t most = 1;
    for (std::int64_t r = 0; r < lanes.rows.outputs; r += rows) {
      const auto end = std::min(r + rows, lanes.rows.outputs);
      most = std::max(most, lanes.rows.inputs_before(end) - lanes.rows.inputs_from(r));
    }
    return most;
  };
  cut.rows = lanes.rows.outputs;
  cut.ring = ring_of(cut.rows);
  while (cut.rows > 1 && cut.ring * cut.row > budget) {
    cut.rows = pieces(cut.rows, 2);
    cut.ring = ring_of(cut.rows);
  }
  cut.block = cut.ring * cut.row;
  if (cut.rows == lanes.rows.outputs) {  // several blocks share what is read of the weights
    const auto fit = std::max<std::int64_t>(budget / cut.block, 1);
    const auto wanted = std::max<std::int64_t>(64 / (cut.rows * lanes.cols.outputs), 1);
    cut.blocks = std::min({fit, wanted, lanes.blocks()});
  }
  auto count = pieces(lanes.blocks(), cut.blocks) * lanes.g.groups;
  const auto strips = pieces(lanes.rows.outputs, cut.rows);
  const auto row_units = std::clamp<std::int64_t>(units / count, 1, strips);
  cut.unit_rows = pieces(strips, row_units) * cut.rows;
  count *= pieces(lanes.rows.outputs, cut.unit_rows);
  cut.channel_parts = std::clamp<std::int64_t>(units / count, 1, pieces(c.out, cut.width));
  return cut;
}

/// A correlation with its operands, called for one unit of it at a time.
struct CorrelateLanes {
  const Lanes& lanes;
  Quads quads;
  Channels c;
  CorrelateCut cut;
  Source in;
  Destination out;
  const bfloat16* packed;
  std::int64_t packed_tile;  // elements of it for 16 output channels
  tiles::TileUnit tile_unit;

  std::int64_t row_units() const { return pieces(lanes.rows.outputs, cut.unit_rows); }
  std::int64_t units() const {
    return pieces(lanes.blocks(), cut.blocks) * lanes.g.groups * row_units() * cut.channel_parts;
  }

  void operator()(std::int64_t unit) const {
    const auto part = unit % cut.channel_parts;
    const auto first_row = unit / cut.channel_parts % row_units() * cut.unit_rows;
    const auto group = unit / cut.channel_parts / row_units() % lanes.g.groups;
    const auto block = unit / cut.channel_parts / row_units() / lanes.g.groups * cut.blocks;
    const auto block_end = std::min(block + cut.blocks, lanes.blocks());
    auto from = in;
    from.channel = group * c.in;
    from.count = c.in;

    double* const unit_moments = out.moments ? out.moments + unit * 2 * c.all_out : nullptr;
    if (unit_moments) std::fill_n(unit_moments, 2 * c.all_out, 0.0);
    Scratch scratch;
    auto* tiles = scratch.take<bfloat16>(cut.blocks * cut.block).data();
    const auto steps = scratch.list<tiles::Step>(lanes.g.kh);
    const tiles::TileSection section(tile_unit);
    const auto unit_end = std::min(first_row + cut.unit_rows, lanes.rows.outputs);
    std::int64_t copied = lanes.rows.inputs_from(first_row);
    for (auto row = first_row; row < unit_end; row += cut.rows) {
      const auto row_end = std::min(row + cut.rows, unit_end);
      const auto needed = lanes.rows.inputs_before(row_end);
      for (auto b = block; b < block_end; ++b) {
        for (auto v = copied; v < needed; ++v) {
          copy_row(tiles + (b - block) * cut.block + v % cut.ring * cut.row, cut.pixel, from, lanes,
                   b, lanes.rows, lanes.cols, v);
        }
      }
      copied = std::max(copied, needed);
      const auto blocks = pieces(c.out, cut.width);
      for (auto ob = part * blocks / cut.channel_parts;
           ob < (part + 1) * blocks / cut.channel_parts; ++ob) {
        auto to = out;
        to.first = group * c.out + ob * cut.width;
        to.count = std::min(c.out - ob * cut.width, cut.width);
        if (to.bias) to.bias += to.first;
        if (to.center) to.center += to.first;
        to.moments = unit_moments;
        const auto* weights =
            packed + (group * c.tiles() + ob * cut.width / tiles::tile_rows) * packed_tile;
        for (auto r = row; r < row_end; ++r) {
          const auto reads = list_steps(steps, r);
          for (auto b = block; b < block_end; ++b) {
            sum_row(to, tiles + (b - block) * cut.block, weights, reads, b, r);
          }
        }
      }
    }
  }

 private:
  /// The rows of the window that reach an output row.
  Slice<const tiles::Step> list_steps(Slice<tiles::Step> steps, std::int64_t row) const {
    std::size_t count = 0;
    for (const auto& down : lanes.rows.of(row)) {
      steps[count++] = {down.in % cut.ring * cut.row,
                        down.tap * lanes.g.kw * c.chunks() * in.pieces * tiles::tile_elements};
    }
    return steps.first(count);
  }

  /// A row of outputs of a block of lanes, `cut.width` channels of them.
  void sum_row(const Destination& to, const bfloat16* tiles, const bfloat16* weights,
               Slice<const tiles::Step> reads, std::int64_t block, std::int64_t row) const {
    alignas(64) float sums[quad * quad_sums];
    LaneOutput of_lanes[Lanes::most];
    find_outputs(of_lanes, to, lanes, block);
    for (std::int64_t i = 0; i < pieces(lanes.cols.outputs, quad); ++i) {
      const QuadOutputs outputs{of_lanes, lanes.in_block(block), row, i * quad,
                               std::min(quad, lanes.cols.outputs - i * quad)};
      if (tile_unit == tiles::TileUnit::amx) {
        sum_slabs(sums, to, outputs, tiles, weights, reads, i);
      } else {
        sum_outputs(sums, to.count, lanes.in_block(block), tiles, weights, reads, i);
      }
      to.write(to, sums, outputs);
    }
  }

  /// The sums of a quad, for 16 output channels after the other. Where the inputs outgrow L1 (48 KB)
  /// they are taken by slabs of 24 KB that stay there from the first 16 channels to the last: 4.3 ms
  /// instead of 5.0 for 128 -> 128 at 14.
  /// Memory is asked for outputs meanwhile: 0.94 to 0.99 of the time.
  void sum_slabs(float* sums, const Destination& to, const QuadOutputs& outputs,
                 const bfloat16* tiles, const bfloat16* weights, Slice<const tiles::Step> reads,
                 std::int64_t i) const {
    const auto channel_tiles = pieces(to.count, tiles::tile_rows);
    const auto share = pieces(outputs.count, channel_tiles);
    Range asked;
    constexpr std::int64_t tiles_of_l1 = 40, tiles_of_slab = 24;
    const auto chunks = c.chunks(),
               slab = std::max<std::int64_t>(tiles_of_slab / (quads.inputs * in.pieces), 1);
    QuadStrides strides{cut.pixel, lanes.g.kw * tiles::tile_elements, chunks, in.pieces};
    const auto sum = [&](Slice<const tiles::Step> rows, std::int64_t chunk, bool accumulate) {
      for (std::int64_t tile = 0; tile < channel_tiles; ++tile) {
        asked = {asked.end, std::min(asked.end + share, outputs.count)};
        ask_for_outputs(to, outputs, asked);
        sum_quad(sums + tile * tiles::tile_rows, tiles + chunk * in.pieces * tiles::tile_elements,
                 weights + tile * packed_tile + chunk * in.pieces * strides.taps, rows, quads.of(i),
                 quads.meetings.data(), strides, accumulate);
      }
    };
    if (reads.empty() || std::ssize(reads) * chunks * in.pieces * quads.inputs <= tiles_of_l1) {
      return sum(reads, 0, false);
    }
    for (std::size_t row = 0; row < reads.size(); ++row) {
      for (std::int64_t chunk = 0; chunk < chunks; chunk += strides.chunks) {
        strides.chunks = chunks - chunk < 2 * slab ? chunks - chunk : slab;
        sum(reads.subspan(row, 1), chunk, row + static_cast<std::size_t>(chunk) > 0);
      }
    }
  }

  /// The same by dot products, an output after the other: 32 channels of `count` lanes stay in
  /// registers over the whole window.
  void sum_outputs(float* sums, std::int64_t channels, std::int64_t count, const bfloat16* tiles,
                   const bfloat16* weights, Slice<const tiles::Step> reads, std::int64_t i) const {
    constexpr std::int64_t half = tiles::tile_rows / 2;
    Scratch scratch;
    const auto taps = scratch.list<tiles::Step>(lanes.g.kh * lanes.g.kw);
    const tiles::DotStrides strides{tiles::tile_elements, lanes.g.kw * tiles::tile_elements,
                                    packed_tile, quad_width};
    const auto end = std::min((i + 1) * quad, lanes.cols.outputs);
    for (auto col = i * quad; col < end; ++col, sums += quad_sums) {
      std::int64_t used = 0;
      for (const auto& row : reads) {
        for (const auto& across : lanes.cols.of(col)) {
          taps[static_cast<std::size_t>(used++)] = {row.a + across.in * cut.pixel,
                                                    row.b + across.tap * tiles::tile_elements};
        }
      }
      if (channels <= tiles::tile_rows) {
        tiles::sum_dots<tiles::tile_rows, 1>(sums, tiles, weights, taps.data(), used, c.chunks(),
                                             strides, false);
        continue;
      }
      for (std::int64_t lane = 0; lane < count; lane += half) {
        tiles::sum_dots<half, 2>(sums + lane * quad_width, tiles + lane * depth, weights,
                                 taps.data(), used, c.chunks(), strides, false);
      }
    }
  }
};

inline void correlate_lanes(Destination& to, const Source& in, const bfloat16* packed,
                            std::span<double> moments, const Conv2dGeometry& g, bool backward,
                            tiles::TileUnit unit) {
  Scratch scratch;
  const auto lanes = make_lanes(g, backward, tiles::tile_rows, quad, scratch);
  if (lanes.count() == 0) return join_moments(moments, nullptr, 0);
  const auto c = channels(g, backward);
  to.height = lanes.rows.out_size;
  to.width = lanes.cols.out_size;
  to.channels = c.all_out;
  CorrelateLanes run{lanes,  list_quads(lanes.cols, scratch),
                     c,      cut_correlation(lanes, c, in.pieces, unit),
                     in,     to,
                     packed, packed_tile(g, backward, in.pieces),
                     unit};
  // Each unit has moments of its own, which are added in the order of units.
  const auto units = run.units();
  if (!moments.empty()) run.out.moments = scratch.take<double>(units * std::ssize(moments)).data();
  parallel_for(units, run);
  join_moments(moments, run.out.moments, units);
}

/// out = bias + correlation of `in` with packed weights, or out += .
template <Scalar T>
void correlate(T* out, Store store, const Source& in, const bfloat16* packed,
               const Conv2dFusion<T>& fusion, const Conv2dGeometry& g, bool backward,
               tiles::TileUnit unit) {
  Destination to{.data = reinterpret_cast<std::byte*>(out),
                 .store = store,
                 .element = sizeof(T),
                 .write = write_quad<T>,
                 .bias = fusion.bias.data(),
                 .center = fusion.moments.center.data()};
  correlate_lanes(to, in, packed, fusion.moments.sums, g, backward, unit);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
