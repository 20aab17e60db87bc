#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/core/tiles.hpp>
#include <tinynet/kernels/conv2d/lanes.hpp>
#include <tinynet/kernels/gemm/amx_product.hpp>

#ifdef TINYNET_TILES

/// Four neighbouring outputs of a row share most of what they read. So a *quad* of them is summed at
/// once, a tile of 16 lanes x 16 output channels each: the weights of up to three taps wait in three
/// tile registers while the inputs pass through the eighth, and an input meets every output that
/// reads it while it is there. A 3x3 window loads 9 tiles for 12 products that way, where two by two
/// tiles would load 12, and both operands come from L2, which is what bounds the sum.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles {

inline constexpr std::int64_t quad = 4;

/// An input that passes, and what it meets: bit 4 * t + p is the product with tap t, for output p.
struct Meeting {
  std::int32_t in = 0;  // pixel of the copied row
  std::uint32_t products = 0;
};

/// Up to three taps of a row of the window, and the inputs that meet them.
struct Pass {
  std::int32_t tap = 0, taps = 0;        // the first, and how many
  std::int32_t meetings = 0, count = 0;  // where they begin in Quads::meetings
  /// Where outputs and taps both follow each other pixel by pixel, input base + i meets output p at
  /// tap i - p. Bit i of `present`: it is there, not padding for all lanes.
  bool slides = false;
  std::int32_t base = 0;
  std::uint32_t present = 0;
};

/// The passes of all quads of a row of outputs.
struct Quads {
  std::int64_t batches = 0;  // passes of a quad
  std::int64_t inputs = 1;   // that meet a pass, at most
  Slice<Pass> passes = {};
  Slice<Meeting> meetings = {};

  Slice<const Pass> of(std::int64_t i) const {
    return passes.subspan(static_cast<std::size_t>(i * batches), static_cast<std::size_t>(batches));
  }
};

inline Quads list_quads(const Axis& cols, Scratch& scratch) {
  constexpr std::int64_t most = 3;
  const auto count = pieces(cols.outputs, quad);
  const auto step = cols.backward ? (cols.stride == 1 ? 1 : 0) : cols.stride;  // of the inputs
  const bool slides = step == cols.sample && (cols.taps == 1 || cols.dilation == cols.sample);
  Quads quads{.batches = pieces(cols.taps, most)};
  quads.passes = scratch.list<Pass>(count * quads.batches);
  quads.meetings = scratch.list<Meeting>(std::ssize(cols.terms));
  std::int32_t used = 0;
  for (std::int64_t i = 0; i < count * quads.batches; ++i) {
    const auto first = i / quads.batches * quad, tap = i % quads.batches * most;
    Pass pass{.tap = static_cast<std::int32_t>(tap),
              .taps = static_cast<std::int32_t>(std::min(most, cols.taps - tap)),
              .meetings = used,
              .slides = slides};
    for (auto out = first; out < std::min(first + quad, cols.outputs); ++out) {
      for (const auto& term : cols.of(out)) {
        const auto t = term.tap - tap, p = out - first;
        if (t < 0 || t >= pass.taps) continue;
        if (slides) {
          pass.base = static_cast<std::int32_t>(term.in - t - p);
          pass.present |= 1u << (t + p);
        }
        auto* const begin = quads.meetings.data() + pass.meetings;
        auto* const end = begin + pass.count;
        auto* const at =
            std::find_if(begin, end, [&](const Meeting& m) { return m.in == term.in; });
        if (at == end) *at = {term.in, 0}, ++pass.count;
        at->products |= 1u << (quad * t + p);
      }
    }
    used += pass.count;
    quads.inputs = std::max<std::int64_t>(quads.inputs, pass.count);
    quads.passes[static_cast<std::size_t>(i)] = pass;
  }
  return quads;
}

#define TINYNET_AMX_STEP TINYNET_TARGET_AMX __attribute__((always_inline)) inline

/// tile[sum] += tile[input] * tile[weights]. The intrinsics take literals only.
template <int sum, int input, int weights>
TINYNET_AMX_STEP void multiply_tiles() {
#ifdef TINYNET_EMULATED_TILES  // tests/tile_emulation.hpp
  _tile_dpbf16ps(sum, input, weights);
#else
  __asm__ volatile("tdpbf16ps %%tmm%c0, %%tmm%c1, %%tmm%c2" ::"i"(weights), "i"(input), "i"(sum));
#endif
}

/// The products of an input that passes, registers 0 to 3 being the outputs and 5 to 7 the taps.
template <int taps, int i>
TINYNET_AMX_STEP void slide(const bfloat16* tile, std::uint32_t present) {
  if constexpr (i < taps + 3) {
    if (!(present >> i & 1)) return;
    _tile_loadd(4, tile, 64);
    if constexpr (i >= 3) multiply_tiles<3, 4, 5 + i - 3>();
    if constexpr (i >= 2 && i - 2 < taps) multiply_tiles<2, 4, 5 + i - 2>();
    if constexpr (i >= 1 && i - 1 < taps) multiply_tiles<1, 4, 5 + i - 1>();
    if constexpr (i < taps) multiply_tiles<0, 4, 5 + i>();
  }
}

/// Where the operands of a sum lie, in elements. For a chunk of 32 input channels the inputs have
/// `pieces` tiles, the weights a tile for each piece and tap (see tile_pieces.hpp).
struct QuadStrides {
  std::int64_t pixel = 0;   // of the copied inputs
  std::int64_t taps = 0;    // of the weights, from a piece to the next
  std::int64_t chunks = 0;  // how many
  std::int64_t pieces = 1;
};

/// The inputs of a pass, one after the other. With `load` the weights' tiles come between them.
template <int taps, bool load>
TINYNET_AMX_STEP void slide_all(const bfloat16* in, const bfloat16* weights, std::int64_t pixel,
                                std::uint32_t present) {
  if constexpr (load) _tile_loadd(5, weights, 64);
  slide<taps, 0>(in, present);
  if constexpr (load && taps > 1) _tile_loadd(6, weights + tiles::tile_elements, 64);
  slide<taps, 1>(in + pixel, present);
  if constexpr (load && taps > 2) _tile_loadd(7, weights + 2 * tiles::tile_elements, 64);
  slide<taps, 2>(in + 2 * pixel, present);
  slide<taps, 3>(in + 3 * pixel, present);
  slide<taps, 4>(in + 4 * pixel, present);
  slide<taps, 5>(in + 5 * pixel, present);
}

template <int taps>
TINYNET_TARGET_AMX void add_sliding(const bfloat16* in, const bfloat16* weights,
                                    const QuadStrides& s, std::uint32_t present) {
  for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk, in += s.pieces * tiles::tile_elements) {
    for (std::int64_t w = 0; w < s.pieces; ++w, weights += s.taps) {
      slide_all<taps, true>(in, weights, s.pixel, present);
      for (std::int64_t x = 1; x < s.pieces - w; ++x) {
        slide_all<taps, false>(in + x * tiles::tile_elements, weights, s.pixel, present);
      }
    }
  }
}

/// Any stride and dilation.
TINYNET_TARGET_AMX inline void add_listed(const bfloat16* in, const bfloat16* weights,
                                          const QuadStrides& s, std::int64_t taps,
                                          const Meeting* meetings, std::int64_t count) {
  for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk, in += s.pieces * tiles::tile_elements) {
    for (std::int64_t w = 0; w < s.pieces; ++w, weights += s.taps) {
      _tile_loadd(5, weights, 64);
      if (taps > 1) _tile_loadd(6, weights + tiles::tile_elements, 64);
      if (taps > 2) _tile_loadd(7, weights + 2 * tiles::tile_elements, 64);
      const bfloat16* tile = in;
      for (std::int64_t x = 0; x < s.pieces - w; ++x, tile += tiles::tile_elements) {
        for (std::int64_t i = 0; i < count; ++i) {
          const auto products = meetings[i].products;
          _tile_loadd(4, tile + meetings[i].in * s.pixel, 64);
          if (products & 1u << 0) multiply_tiles<0, 4, 5>();
          if (products & 1u << 1) multiply_tiles<1, 4, 5>();
          if (products & 1u << 2) multiply_tiles<2, 4, 5>();
          if (products & 1u << 3) multiply_tiles<3, 4, 5>();
          if (products & 1u << 4) multiply_tiles<0, 4, 6>();
          if (products & 1u << 5) multiply_tiles<1, 4, 6>();
          if (products & 1u << 6) multiply_tiles<2, 4, 6>();
          if (products & 1u << 7) multiply_tiles<3, 4, 6>();
          if (products & 1u << 8) multiply_tiles<0, 4, 7>();
          if (products & 1u << 9) multiply_tiles<1, 4, 7>();
          if (products & 1u << 10) multiply_tiles<2, 4, 7>();
          if (products & 1u << 11) multiply_tiles<3, 4, 7>();
        }
      }
    }
  }
}

inline constexpr std::int64_t quad_width = 64;  // output channels that are summed in turn
inline constexpr std::int64_t quad_sums = 16 * quad_width;  // of an output: [lane][channel]

/// sums[output][lane][16 of 64] = or += those of a quad, over `rows` of the window, which say where the
/// inputs' row and its weights begin, and over chunks of 32 input channels. Needs a TileSection.
TINYNET_TARGET_AMX inline void sum_quad(float* sums, const bfloat16* in, const bfloat16* weights,
                                        Slice<const tiles::Step> rows, Slice<const Pass> passes,
                                        const Meeting* meetings, const QuadStrides& s,
                                        bool accumulate) {
  constexpr auto row_bytes = quad_width * sizeof(float);
  tiles::finish_stores();
  if (accumulate) {
    _tile_loadd(0, sums, row_bytes);
    _tile_loadd(1, sums + quad_sums, row_bytes);
    _tile_loadd(2, sums + 2 * quad_sums, row_bytes);
    _tile_loadd(3, sums + 3 * quad_sums, row_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (const auto& row : rows) {
    for (const auto& pass : passes) {
      const auto* from = in + row.a;
      const auto* top = weights + row.b + pass.tap * tiles::tile_elements;
      if (!pass.slides) {
        add_listed(from, top, s, pass.taps, meetings + pass.meetings, pass.count);
        continue;
      }
      from += pass.base * s.pixel;
      if (pass.taps == 3) add_sliding<3>(from, top, s, pass.present);
      else if (pass.taps == 2) add_sliding<2>(from, top, s, pass.present);
      else add_sliding<1>(from, top, s, pass.present);
    }
  }
  _tile_stored(0, sums, row_bytes);
  _tile_stored(1, sums + quad_sums, row_bytes);
  _tile_stored(2, sums + 2 * quad_sums, row_bytes);
  _tile_stored(3, sums + 3 * quad_sums, row_bytes);
  tiles::finish_stores();
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_tiles

#endif
