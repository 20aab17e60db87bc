#pragma once

#include <algorithm>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/pieces.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/kernels/conv2d/correlation.hpp>
#include <tinynet/kernels/gemm/pack.hpp>

/// Weights in the order in which a correlation multiplies with them, so that the innermost loop
/// reads one contiguous panel for each block of output channels.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Output channels of a block: two registers, which halves the broadcasts; the last block of a
/// group may have one.
template <class A>
inline constexpr std::int64_t block_channels = 2 * simd::width<A>;

/// Input channels that a sum takes before it turns to the next tap: what a tile reads of its pixels
/// stays in L1 while the taps go over it.
inline constexpr std::int64_t chunk_channels = 64;

/// `channels` rounded up to whole registers.
template <class A>
constexpr std::int64_t padded_channels(std::int64_t channels) {
  return round_up(channels, simd::width<A>);
}

template <class A>
std::int64_t packed_correlation_bytes(const Correlation& c) {
  return c.g.groups * c.g.kh * c.g.kw * c.group_in() * padded_channels<A>(c.group_out()) *
         std::int64_t{sizeof(A)};
}

/// Packs w[oc, kh, kw, ic/groups] as
/// [group][row phase][column phase][block][chunk][tap][channel of the chunk][channel of the block],
/// taps in the order of the phase, missing output channels zero.
template <class A>
void pack_correlation(A* packed, const A* w, const Correlation& c) {
  const auto in = c.group_in(), out = c.group_out(), padded = padded_channels<A>(out);
  const auto blocks = pieces(out, block_channels<A>);
  const auto all = Cost::of_elements(in * padded * c.g.groups * c.tap_count());
  parallel_for(c.g.groups * blocks, all, [&](std::int64_t unit) {
    const auto group = unit / blocks, first = unit % blocks * block_channels<A>;
    const auto size = std::min(block_channels<A>, padded - first);
    const auto valid = std::min(size, out - first);
    const A* group_weights = w + group * (c.g.oc / c.g.groups) * c.tap_count() * c.group_ic();
    const auto oc_stride = c.tap_count() * c.group_ic();
    const auto o_stride = c.backward ? 1 : oc_stride, i_stride = c.backward ? oc_stride : 1;
    A* phase = packed + group * c.tap_count() * in * padded;
    for (std::int64_t r = 0; r < c.phases * c.phases; ++r) {
      const auto rows = c.rows(r / c.phases), cols = c.cols(r % c.phases);
      const auto taps = rows.taps * cols.taps;
      A* to = phase + first * taps * in;
      for (std::int64_t chunk = 0; chunk < in; chunk += chunk_channels) {
        const auto channels = std::min(chunk_channels, in - chunk);
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          const auto place = rows.index(tap / cols.taps) * c.g.kw + cols.index(tap % cols.taps);
          const A* from =
              group_weights + place * c.group_ic() + first * o_stride + chunk * i_stride;
          pack_panel<A, A>(to, size, {from, valid, channels, o_stride, i_stride});
          to += channels * size;
        }
      }
      phase += taps * in * padded;
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
