#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/amx_pack.hpp>
#include <tinynet/kernels/gemm/amx_product.hpp>

#ifdef TINYNET_AMX

/// The forward pass and the input gradient through tiles: for each output pixel of 32 lanes and 32
/// output channels, the sum over the taps that reach it and over chunks of 32 input channels.
///
/// A unit copies the rows it reads of its lanes into tiles, as many as fit L2 beside the weights of
/// 32 output channels; rows that the next strip reads again stay where they are. From there on every
/// tile is 1 KB in one piece.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx {

/// The operands' channels, of a group: forward from ic to oc, backward from oc to ic.
struct Channels {
  std::int64_t in = 0, out = 0;          // of a group
  std::int64_t all_in = 0, all_out = 0;  // of the tensors
  std::int64_t chunks() const { return pieces(in, depth); }
  std::int64_t blocks() const { return pieces(out, depth); }
  /// Tiles side by side in a block of output channels: one where 16 channels are left.
  std::int64_t tiles(std::int64_t b) const { return out - b * depth > depth / 2 ? 2 : 1; }
  /// Elements of packed weights for one tap and block.
  std::int64_t tap_step(std::int64_t b) const { return chunks() * tiles(b) * amx::tile_elements; }
};

inline Channels channels(const Conv2dGeometry& g, bool backward) {
  const auto ic = g.ic / g.groups, oc = g.oc / g.groups;
  return backward ? Channels{oc, ic, g.oc, g.ic} : Channels{ic, oc, g.ic, g.oc};
}

/// Packed weights: [group][block of 32 output channels][tap][chunk of 32 input channels][tile].
inline std::int64_t packed_elements(const Conv2dGeometry& g, bool backward) {
  const auto c = channels(g, backward);
  std::int64_t total = 0;
  for (std::int64_t b = 0; b < c.blocks(); ++b) total += g.kh * g.kw * c.tap_step(b);
  return g.groups * total;
}

/// Packs w[oc, kh, kw, ic / groups], rounded to bfloat16; missing channels become zero.
inline void pack_weights(bfloat16* packed, const float* w, const Conv2dGeometry& g, bool backward) {
  const auto c = channels(g, backward);
  const auto taps = g.kh * g.kw, ic = g.ic / g.groups, oc = g.oc / g.groups;
  const auto group_size = packed_elements(g, backward) / g.groups;
  parallel_for(g.groups * c.blocks(), [&](std::int64_t unit) {
    const auto group = unit / c.blocks(), block = unit % c.blocks();
    const auto first = block * depth;
    bfloat16* to = packed + group * group_size + first / depth * taps * c.tap_step(0);
    const float* from = w + group * oc * taps * ic;
    // Lanes of the tile are output channels, its depth are input channels.
    const auto lane_stride = backward ? 1 : taps * ic, depth_stride = backward ? taps * ic : 1;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t chunk = 0; chunk < c.in; chunk += depth) {
        for (std::int64_t half = 0; half < c.tiles(block); ++half, to += amx::tile_elements) {
          const auto lane = first + half * amx::tile_rows;
          const Matrix<const float> strip{
              from + tap * ic + lane * lane_stride + chunk * depth_stride,
              std::clamp<std::int64_t>(c.out - lane, 0, amx::tile_rows),
              std::min(c.in - chunk, depth), lane_stride, depth_stride};
          amx::pack_tile(to, strip, amx::TileOrder::pairs);
        }
      }
    }
  });
}

/// Where the results of a unit go.
struct Destination {
  bfloat16* data;
  Store store;
  std::int64_t height, width, channels;  // of the output tensor
  std::int64_t first = 0, count = 0;     // channels of a block of sums
  const float* bias = nullptr;           // of the first of them, or null
  bool stream = false;                   // past the caches
};

/// Where the outputs of a lane begin, and how many of its rows and columns lie in the image.
struct LaneOutput {
  std::int64_t origin = 0;
  std::int64_t rows = 0, cols = 0;
};

inline void find_outputs(LaneOutput (&outputs)[Lanes::block], const Destination& to,
                         const Lanes& lanes, std::int64_t block) {
  for (std::int64_t i = 0; i < lanes.in_block(block); ++i) {
    const auto place = lanes.place(block * Lanes::block + i);
    const auto row = place.row_part * lanes.rows.outputs;
    const auto col = place.col_part * lanes.cols.outputs;
    outputs[i] = {((place.image * to.height + row) * to.width + col) * to.channels, to.height - row,
                  to.width - col};
  }
}

/// Writes the sums [lane][16 * tiles] of one output pixel of `count` lanes.
TINYNET_TARGET_AMX inline void store_pixel(const Destination& to, const float* sums,
                                           std::int64_t tiles, const LaneOutput* outputs,
                                           std::int64_t count, std::int64_t row, std::int64_t col) {
  const auto mask = to.count >= 32 ? ~0u : (1u << to.count) - 1;
  const auto low = static_cast<__mmask16>(mask), high = static_cast<__mmask16>(mask >> 16);
  auto bias_low = _mm512_setzero_ps(), bias_high = _mm512_setzero_ps();
  if (to.bias) {
    bias_low = _mm512_maskz_loadu_ps(low, to.bias);
    bias_high = _mm512_maskz_loadu_ps(high, to.bias + 16);
  }
  bfloat16* pixel = to.data + (row * to.width + col) * to.channels + to.first;
  for (std::int64_t i = 0; i < count; ++i, sums += 16 * tiles) {
    if (row >= outputs[i].rows || col >= outputs[i].cols) continue;  // the last part may be smaller
    bfloat16* at = pixel + outputs[i].origin;
    auto left = _mm512_add_ps(_mm512_load_ps(sums), bias_low);
    auto right =
        tiles == 2 ? _mm512_add_ps(_mm512_load_ps(sums + 16), bias_high) : _mm512_setzero_ps();
    if (to.store == Store::add) {
      const auto old = _mm512_maskz_loadu_epi16(mask, at);
      left = _mm512_add_ps(left, amx::widened(_mm512_castsi512_si256(old)));
      right = _mm512_add_ps(right, amx::widened(_mm512_extracti64x4_epi64(old, 1)));
    }
    const auto packed = (__m512i)_mm512_cvtne2ps_pbh(right, left);
    if (to.stream) _mm512_stream_si512(reinterpret_cast<__m512i*>(at), packed);
    else _mm512_mask_storeu_epi16(at, mask, packed);
  }
}

/// How the lanes are cut into units and strips, by the shape alone.
struct CorrelateCut {
  std::int64_t lanes_high = 32;    // rows of the tiles in use, 16 or 32
  std::int64_t blocks = 1;         // of lanes in a strip
  std::int64_t rows = 1;           // of outputs in a strip, all of them if blocks > 1
  std::int64_t ring = 1;           // input rows that a strip reads
  std::int64_t unit_rows = 1;      // of outputs in a unit: whole strips
  std::int64_t channel_parts = 1;  // of the blocks of output channels, in units of their own
  std::int64_t pixel = 0, row = 0, block = 0;  // strides of the copy, elements
};

/// Input rows that outputs [begin, end) read first, counted like Axis::inputs_before.
inline std::int64_t inputs_from(const Axis& rows, std::int64_t begin) {
  auto first = rows.inputs;
  for (auto i = rows.begin[static_cast<std::size_t>(begin)]; i < std::ssize(rows.terms); ++i) {
    first = std::min<std::int64_t>(first, rows.terms[static_cast<std::size_t>(i)].in);
  }
  return first;
}

inline CorrelateCut cut_correlation(const Lanes& lanes, const Channels& c) {
  // Rows of a strip: of 2 MB of L2 they share with weights and with what is written; a strip of 1 MB
  // took 10 to 20 % longer.
  constexpr std::int64_t budget = (384 << 10) / sizeof(bfloat16);
  constexpr std::int64_t units = 16;
  CorrelateCut cut;
  cut.lanes_high = lanes.count() <= 16 ? 16 : 32;
  cut.pixel = pixel_step(c.chunks() * cut.lanes_high / amx::tile_rows);
  cut.row = lanes.cols.inputs * cut.pixel;
  const auto ring_of = [&](std::int64_t rows) {
    std::int64_t most = 1;
    for (std::int64_t r = 0; r < lanes.rows.outputs; r += rows) {
      const auto end = std::min(r + rows, lanes.rows.outputs);
      most = std::max(most, lanes.rows.inputs_before(end) - inputs_from(lanes.rows, r));
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
  cut.channel_parts = std::clamp<std::int64_t>(units / count, 1, c.blocks());
  return cut;
}

/// A correlation with its operands, called for one unit of it at a time.
struct CorrelateLanes {
  const Lanes& lanes;
  Channels c;
  CorrelateCut cut;
  Source in;
  Destination out;
  const bfloat16* packed;
  std::int64_t group_size;  // of packed weights

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

    Scratch scratch;
    auto* tiles = scratch.take<bfloat16>(cut.blocks * cut.block).data();
    const auto& g = lanes.g;
    const auto steps = scratch.take<amx::Step>(lanes.cols.outputs * g.kh * g.kw);
    const auto begin = scratch.take<std::int64_t>(lanes.cols.outputs + 1);
    alignas(64) float sums[2][32 * 32];
    const amx::TileSection section;
    const auto unit_end = std::min(first_row + cut.unit_rows, lanes.rows.outputs);
    std::int64_t copied = inputs_from(lanes.rows, first_row);
    for (auto row = first_row; row < unit_end; row += cut.rows) {
      const auto row_end = std::min(row + cut.rows, unit_end);
      const auto needed = lanes.rows.inputs_before(row_end);
      for (auto b = block; b < block_end; ++b) {
        for (auto v = copied; v < needed; ++v) {
          copy_row(tiles + (b - block) * cut.block + v % cut.ring * cut.row, cut.pixel,
                   cut.lanes_high, from, lanes, b, lanes.rows, lanes.cols, v);
        }
      }
      copied = std::max(copied, needed);
      const auto blocks = c.blocks();
      for (auto ob = part * blocks / cut.channel_parts;
           ob < (part + 1) * blocks / cut.channel_parts; ++ob) {
        const bfloat16* weights = packed + group * group_size + ob * g.kh * g.kw * c.tap_step(0);
        const auto sum = amx::sum_steps_of(cut.lanes_high / 16, c.tiles(ob));
        auto to = out;
        to.first = group * c.out + ob * depth;
        to.count = std::min(c.out - ob * depth, depth);
        if (to.bias) to.bias += to.first;
        for (auto r = row; r < row_end; ++r) {
          list_steps(steps, begin, r, c.tap_step(ob));
          for (auto b = block; b < block_end; ++b) {
            LaneOutput outputs[Lanes::block];
            find_outputs(outputs, to, lanes, b);
            // A pixel is written while the products of the next run: stored tiles cannot be read
            // again before they have reached the cache.
            const auto store = [&](std::int64_t x) {
              store_pixel(to, sums[x % 2], c.tiles(ob), outputs, lanes.in_block(b), r, x);
            };
            for (std::int64_t x = 0; x < lanes.cols.outputs; ++x) {
              const auto at = static_cast<std::size_t>(x);
              sum(sums[x % 2], tiles + (b - block) * cut.block, weights, steps.data() + begin[at],
                  begin[at + 1] - begin[at], c.chunks(), false);
              if (x > 0) store(x - 1);
            }
            store(lanes.cols.outputs - 1);
          }
        }
      }
    }
    if (out.stream) _mm_sfence();
  }

 private:
  /// The steps of all output pixels of a row.
  void list_steps(std::span<amx::Step> steps, std::span<std::int64_t> begin, std::int64_t row,
                  std::int64_t tap_step) const {
    std::size_t count = 0;
    for (std::int64_t x = 0; x < lanes.cols.outputs; ++x) {
      begin[static_cast<std::size_t>(x)] = static_cast<std::int64_t>(count);
      for (const auto& down : lanes.rows.of(row)) {
        for (const auto& across : lanes.cols.of(x)) {
          steps[count++] = {down.in % cut.ring * cut.row + across.in * cut.pixel,
                            (down.tap * lanes.g.kw + across.tap) * tap_step};
        }
      }
    }
    begin[static_cast<std::size_t>(lanes.cols.outputs)] = static_cast<std::int64_t>(count);
  }
};

/// A result that outgrows L2 goes past the caches: fetching its lines before they are written whole
/// costs a third of its traffic (64 -> 64 at 28: 12 % of the pass, 1 -> 64: 40 %).
inline bool streams(const bfloat16* out, std::int64_t pixels, const Channels& c) {
  constexpr std::int64_t caches = 4 << 20;
  return pixels * c.all_out * std::int64_t{sizeof(bfloat16)} > caches && c.all_out % depth == 0 &&
         c.out % depth == 0 && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;
}

/// out = bias + correlation of `in` with packed weights, or out += . `bias` may be null.
inline void correlate(bfloat16* out, Store store, const Source& in, const bfloat16* packed,
                      const float* bias, const Conv2dGeometry& g, bool backward) {
  Scratch scratch;
  const auto lanes = make_lanes(g, backward, scratch);
  const auto c = channels(g, backward);
  const CorrelateLanes run{
      lanes,
      c,
      cut_correlation(lanes, c),
      in,
      {out, store, lanes.rows.out_size, lanes.cols.out_size, c.all_out, 0, 0, bias,
       store == Store::overwrite &&
           streams(out, g.n * lanes.rows.out_size * lanes.cols.out_size, c)},
      packed,
      packed_elements(g, backward) / g.groups};
  if (lanes.count() > 0) parallel_for(run.units(), run);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx

#endif
