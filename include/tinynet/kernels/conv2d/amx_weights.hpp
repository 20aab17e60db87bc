#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/gemm/amx_pack.hpp>

#ifdef TINYNET_AMX

/// Weights as the sums over tiles read them, packed once per optimizer step.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx {

/// The operands' channels, of a group: forward from ic to oc, backward from oc to ic.
struct Channels {
  std::int64_t in = 0, out = 0;          // of a group
  std::int64_t all_in = 0, all_out = 0;  // of the tensors
  std::int64_t chunks() const { return pieces(in, amx::tile_depth); }
  std::int64_t tiles() const { return pieces(out, amx::tile_rows); }
};

inline Channels channels(const Conv2dGeometry& g, bool backward) {
  const auto ic = g.ic / g.groups, oc = g.oc / g.groups;
  return backward ? Channels{oc, ic, g.oc, g.ic} : Channels{ic, oc, g.ic, g.oc};
}

/// Elements of packed weights for 16 output channels.
inline std::int64_t packed_tile(const Conv2dGeometry& g, bool backward) {
  return g.kh * g.kw * channels(g, backward).chunks() * amx::tile_elements;
}
inline std::int64_t packed_elements(const Conv2dGeometry& g, bool backward) {
  return g.groups * channels(g, backward).tiles() * packed_tile(g, backward);
}

/// Packs w[oc, kh, kw, ic / groups] as [group][16 output channels][row of the window][chunk of 32
/// input channels][tap of the row], a tile each, rounded to bfloat16; missing channels become zero.
/// The input gradient reads the window backwards (see Axis).
inline void pack_weights(bfloat16* packed, const float* w, const Conv2dGeometry& g, bool backward) {
  const auto c = channels(g, backward);
  const auto taps = g.kh * g.kw, ic = g.ic / g.groups, oc = g.oc / g.groups;
  // Lanes of a tile are output channels, its depth are input channels.
  const auto lane_stride = backward ? 1 : taps * ic, depth_stride = backward ? taps * ic : 1;
  parallel_for(g.groups * c.tiles(), [&](std::int64_t unit) {
    const auto group = unit / c.tiles(), lane = unit % c.tiles() * amx::tile_rows;
    const float* from = w + group * oc * taps * ic + lane * lane_stride;
    bfloat16* to = packed + unit * packed_tile(g, backward);
    for (std::int64_t i = 0; i < g.kh; ++i) {
      for (std::int64_t chunk = 0; chunk < c.in; chunk += amx::tile_depth) {
        for (std::int64_t j = 0; j < g.kw; ++j, to += amx::tile_elements) {
          const auto tap = backward ? taps - 1 - (i * g.kw + j) : i * g.kw + j;
          const Matrix<const float> strip{
              from + tap * ic + chunk * depth_stride, std::min(c.out - lane, amx::tile_rows),
              std::min(c.in - chunk, amx::tile_depth), lane_stride, depth_stride};
          amx::pack_tile(to, strip, amx::TileOrder::pairs);
        }
      }
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_amx

#endif
