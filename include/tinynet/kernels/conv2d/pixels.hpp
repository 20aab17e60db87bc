#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/tile_pack.hpp>
#include <tinynet/kernels/conv2d/tile_pieces.hpp>

#ifdef TINYNET_TILES

/// Windows of one pixel without padding: products of pixels with weights. Tiles over lanes copy sixteen
/// images for them, which is most of what they do (20 -> 20 channels are 5 macs a byte); here pixels
/// are taken in the order of memory. avx512_pixels.hpp and amx_pixels.hpp sum them up.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

inline constexpr std::int64_t width = 32;  // outputs summed in turn
inline constexpr std::int64_t block = 64;  // pixels that wait in L1 for all outputs

/// One convolution, forward or of the gradient: `out` channels of a pixel from `in` of another.
struct Pixels {
  std::int64_t in = 0, out = 0;                       // channels
  std::int64_t rows = 0, cols = 0;                    // of outputs, of all images together
  std::int64_t oh = 0, image = 0, row = 0, step = 0;  // strides of the input, elements

  std::int64_t count() const { return rows * cols; }
  /// Where output `i` reads.
  std::int64_t at(std::int64_t i) const {
    const auto r = i / cols;
    return r / oh * image + r % oh * row + i % cols * step;
  }
};

inline Pixels pixels_of(const Conv2dGeometry& g, bool backward) {
  if (backward) return {g.oc, g.ic, 1, g.n * g.h * g.w, 1, 0, 0, g.oc};
  if (g.stride == 1) return {g.ic, g.oc, 1, g.n * g.h * g.w, 1, 0, 0, g.ic};
  return {g.ic,           g.oc, g.n * g.oh, g.ow, g.oh, g.h * g.w * g.ic, g.stride * g.w * g.ic,
          g.stride * g.ic};
}

inline const char* refuses_window(const Conv2dGeometry& g, bool backward) {
  if (g.kh * g.kw != 1 || g.padding != 0) return "a window of several pixels, or padding";
  if (backward && g.stride != 1) return "gradients of strides leave pixels out";
  return g.groups != 1 ? "several groups" : nullptr;
}

/// What becomes of the outputs of a block of pixels, for 32 channels.
struct Output {
  bfloat16* to;       // of the first pixel
  std::int64_t step;  // elements from pixel to pixel
  Store store;
  std::uint32_t mask;  // of channels
  alignas(64) float bias[width] = {};
  alignas(64) float center[width] = {};  // of the moments
  alignas(64) float moments[2][width] = {};
  bool has_moments = false;

  Output(bfloat16* pixel, Store s, const Conv2dFusion<bfloat16>& fusion, const Pixels& p,
         std::int64_t channel)
      : to(pixel + channel),
        step(p.out),
        store(s),
        mask(conv2d_tiles::chunk_mask(p.out, channel)),
        has_moments(!fusion.moments.sums.empty()) {
    const auto valid = std::min(p.out - channel, width);
    if (!fusion.bias.empty()) std::copy_n(fusion.bias.data() + channel, valid, bias);
    if (!fusion.moments.center.empty()) {
      std::copy_n(fusion.moments.center.data() + channel, valid, center);
    }
  }

  /// Adds what was summed to `all` [2, channels].
  void add_moments(double* all, std::int64_t channel) const {
    for (std::int64_t c = 0; has_moments && c < std::min(step - channel, width); ++c) {
      all[channel + c] += double{moments[0][c]};
      all[step + channel + c] += double{moments[1][c]};
    }
  }
};

/// Sums up the pixels of a unit; `moments` [2, out], or null.
using RunUnit = void (*)(bfloat16* y, Store, const bfloat16* x, const bfloat16* weights,
                         const Conv2dFusion<bfloat16>&, const Pixels&, Range unit, double* moments);

template <class = void>
void run(bfloat16* y, Store store, const bfloat16* x, const std::byte* packed,
         const Conv2dFusion<bfloat16>& fusion, const Pixels& p, Cost cost, RunUnit run_unit) {
  constexpr std::int64_t units = 32;  // at most; each has moments of its own
  const auto grain = pieces(std::max<std::int64_t>(p.count(), 1), block * units) * block;
  const auto count = pieces(p.count(), grain);
  const auto sums = fusion.moments.sums;
  Scratch scratch;
  const auto moments = scratch.take<double>(count * std::ssize(sums));
  std::fill(moments.begin(), moments.end(), 0.0);
  parallel_for(count, cost, [&](std::int64_t unit) {
    run_unit(y, store, x, reinterpret_cast<const bfloat16*>(packed), fusion, p,
             {unit * grain, std::min(p.count(), (unit + 1) * grain)},
             sums.empty() ? nullptr : moments.data() + unit * std::ssize(sums));
  });
  join_moments(sums, moments.data(), count);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

#endif
