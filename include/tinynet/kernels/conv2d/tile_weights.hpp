#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/gemm/tile_pack.hpp>

#ifdef TINYNET_TILES

/// Weights as the sums over tiles read them, packed once per optimizer step.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

/// The operands' channels, of a group: forward from ic to oc, backward from oc to ic.
struct Channels {
  std::int64_t in = 0, out = 0;  // of a group
  std::int64_t all_out = 0;      // of the tensor
  std::int64_t chunks() const { return pieces(in, tiles::tile_depth); }
  std::int64_t tiles() const { return pieces(out, tiles::tile_rows); }
};

inline Channels channels(const Conv2dGeometry& g, bool backward) {
  const auto ic = g.ic / g.groups, oc = g.oc / g.groups;
  return backward ? Channels{oc, ic, g.ic} : Channels{ic, oc, g.oc};
}

/// Elements of packed weights for 16 output channels.
inline std::int64_t packed_tile(const Conv2dGeometry& g, bool backward, std::int64_t pieces) {
  return g.kh * g.kw * channels(g, backward).chunks() * pieces * tiles::tile_elements;
}
inline std::int64_t packed_elements(const Conv2dGeometry& g, bool backward, std::int64_t pieces) {
  return g.groups * channels(g, backward).tiles() * packed_tile(g, backward, pieces);
}

/// Packs a tile of 16 output x 32 input channels, and what is left of it after each piece, `step` apart.
inline void pack_pieces(bfloat16* to, std::int64_t step, Matrix<const float> strip,
                        std::int64_t pieces) {
  if (pieces == 1) return tiles::pack_tile(to, strip, tiles::TileOrder::pairs);
  alignas(64) float rest[tiles::tile_elements] = {};
  for (std::int64_t i = 0; i < strip.rows; ++i) {
    for (std::int64_t j = 0; j < strip.cols; ++j) {
      rest[i * tiles::tile_depth + j] = strip.data[i * strip.row_stride + j * strip.col_stride];
    }
  }
  const Matrix<const float> all{rest, tiles::tile_rows, tiles::tile_depth, tiles::tile_depth, 1};
  for (std::int64_t piece = 0; piece < pieces; ++piece, to += step) {
    tiles::pack_tile(to, all, tiles::TileOrder::pairs);
    for (auto& x : rest) {
      const float taken = float(bfloat16(x));
      x = taken - taken == 0 ? x - taken : 0;  // nothing is left of what is not finite
    }
  }
}

/// Packs w[oc, kh, kw, ic / groups] as [group][16 output channels][row of the window][chunk of 32
/// input channels][piece][tap of the row], a tile each; missing channels become zero. The input gradient
/// reads the window backwards (see Axis).
inline void pack_weights(bfloat16* packed, const float* w, const Conv2dGeometry& g, bool backward,
                         std::int64_t pieces) {
  const auto c = channels(g, backward);
  const auto taps = g.kh * g.kw, ic = g.ic / g.groups, oc = g.oc / g.groups;
  // Lanes of a tile are output channels, its depth are input channels.
  const auto lane_stride = backward ? 1 : taps * ic, depth_stride = backward ? taps * ic : 1;
  parallel_for(g.groups * c.tiles(), [&](std::int64_t unit) {
    const auto group = unit / c.tiles(), lane = unit % c.tiles() * tiles::tile_rows;
    const float* from = w + group * oc * taps * ic + lane * lane_stride;
    bfloat16* to = packed + unit * packed_tile(g, backward, pieces);
    for (std::int64_t i = 0; i < g.kh; ++i) {
      for (std::int64_t chunk = 0; chunk < c.in; chunk += tiles::tile_depth) {
        for (std::int64_t j = 0; j < g.kw; ++j) {
          const auto tap = backward ? taps - 1 - (i * g.kw + j) : i * g.kw + j;
          const Matrix<const float> strip{
              from + tap * ic + chunk * depth_stride, std::min(c.out - lane, tiles::tile_rows),
              std::min(c.in - chunk, tiles::tile_depth), lane_stride, depth_stride};
          pack_pieces(to + j * tiles::tile_elements, g.kw * tiles::tile_elements, strip, pieces);
        }
        to += g.kw * pieces * tiles::tile_elements;
      }
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
