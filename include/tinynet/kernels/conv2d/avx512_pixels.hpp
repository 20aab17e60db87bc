#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/conv2d/correlate.hpp>
#include <tinynet/kernels/conv2d/tile_pack.hpp>
#include <tinynet/kernels/conv2d/tile_pieces.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>

#ifdef TINYNET_TILES

/// Windows of one pixel by dot products of AVX-512, straight from the image. Neighbouring channels of
/// a pixel are the pairs that VDPBF16PS broadcasts, so nothing is copied into lanes or tiles, which
/// is most of what such a convolution would do: 20 -> 20 channels are 5 macs a byte.
///
/// Eight pixels x 32 outputs stay in registers; a block of pixels waits in L1 for all outputs.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

inline constexpr std::int64_t width = 32;  // outputs summed in turn
inline constexpr std::int64_t block = 64;  // pixels
inline constexpr std::int64_t units = 32;  // at most; each has moments of its own

/// One convolution, forward or of the gradient: `out` channels of a pixel from `in` of another.
struct Pixels {
  std::int64_t in = 0, out = 0;                       // channels
  std::int64_t rows = 0, cols = 0;                    // of outputs, of all images together
  std::int64_t oh = 0, image = 0, row = 0, step = 0;  // strides of the input, elements

  std::int64_t count() const { return rows * cols; }
  std::int64_t packed() const { return pieces(out, width) * in * width; }
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

template <bool backward>
const char* refuses(const Conv2dGeometry& g) {
  if (!cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  if (g.kh * g.kw != 1 || g.padding != 0) return "a window of several pixels, or padding";
  if (backward && g.stride != 1) return "gradients of strides leave pixels out";
  if (g.groups != 1) return "several groups";
  if ((backward ? g.oc : g.ic) % 2 != 0) return "an odd number of channels makes no pairs";
  return nullptr;
}

template <bool backward>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return pixels_of(g, backward).packed() * std::int64_t{sizeof(bfloat16)};
}

/// [block of 32 outputs][pair of inputs][output][2]
template <bool backward>
void pack(std::byte* packed, std::span<const float> w, const Conv2dGeometry& g) {
  const auto p = pixels_of(g, backward);
  auto* to = reinterpret_cast<bfloat16*>(packed);
  for (std::int64_t o = 0; o < pieces(p.out, width) * width; ++o) {
    auto* column = to + o / width * p.in * width + o % width * 2;
    for (std::int64_t i = 0; i < p.in; ++i) {
      const float value = o >= p.out ? 0 : w.data()[backward ? i * p.out + o : o * p.in + i];
      column[i / 2 * 2 * width + i % 2] = bfloat16(value);
    }
  }
}

/// What becomes of the outputs of one block of channels.
struct Output {
  bfloat16* to;       // of the first pixel
  std::int64_t step;  // elements from pixel to pixel
  Store store;
  __mmask32 mask;       // of channels
  const float* bias;    // [32]
  const float* center;  // [32], of the moments
  float* moments;       // [2, 32], or null
};

/// Rows pixels that lie `step` elements apart.
template <int Rows>
TINYNET_TARGET_BF16 void sum_pixels(const Output& out, const bfloat16* x, std::int64_t step,
                                    const bfloat16* weights, std::int64_t in) {
  __m512 low[Rows], high[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    low[r] = _mm512_loadu_ps(out.bias);
    high[r] = _mm512_loadu_ps(out.bias + 16);
  }
  for (std::int64_t i = 0; i < in; i += 2, weights += 2 * width) {
    const auto left = (__m512bh)_mm512_load_si512(weights);
    const auto right = (__m512bh)_mm512_load_si512(weights + width);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const auto pair = tiles::broadcast_pair(x + r * step + i);
      low[r] = _mm512_dpbf16_ps(low[r], pair, left);
      high[r] = _mm512_dpbf16_ps(high[r], pair, right);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    conv2d_tiles::store_sums(out.to + r * out.step, low[r], high[r], out.store, out.mask);
  }
  if (!out.moments) return;
  for (int half = 0; half < 2; ++half) {
    const auto center = _mm512_loadu_ps(out.center + 16 * half);
    auto first = _mm512_loadu_ps(out.moments + 16 * half);
    auto second = _mm512_loadu_ps(out.moments + width + 16 * half);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const auto value = _mm512_sub_ps(half ? high[r] : low[r], center);
      first = _mm512_add_ps(first, value);
      second = _mm512_fmadd_ps(value, value, second);
    }
    _mm512_storeu_ps(out.moments + 16 * half, first);
    _mm512_storeu_ps(out.moments + width + 16 * half, second);
  }
}

/// The first pixels of a unit to the last; `moments` [2, out], or null.
template <class = void>
void run_unit(bfloat16* y, Store store, const bfloat16* x, const bfloat16* weights,
              const Conv2dFusion<bfloat16>& fusion, const Pixels& p, Range unit, double* moments) {
  Scratch scratch;
  const auto copy = scratch.take<bfloat16>(fusion.map ? block * p.in : 0);
  for (auto begin = unit.begin, end = begin; begin < unit.end; begin = end) {
    // A block ends with its row, so that its pixels are equally far apart.
    end = std::min({begin + block, unit.end, (begin / p.cols + 1) * p.cols});
    const auto* from = x + p.at(begin);
    auto step = p.step;
    if (fusion.map) {
      for (auto i = begin; i < end; ++i)
        fusion.map(copy.data() + (i - begin) * p.in, x + p.at(i), 1);
      from = copy.data();
      step = p.in;
    }
    for (std::int64_t o = 0; o < p.out; o += width) {
      float bias[width] = {}, center[width] = {}, sums[2 * width] = {};
      const auto valid = std::min(p.out - o, width);
      if (!fusion.bias.empty()) std::copy_n(fusion.bias.data() + o, valid, bias);
      if (!fusion.moments.center.empty()) {
        std::copy_n(fusion.moments.center.data() + o, valid, center);
      }
      Output out{
          y + begin * p.out + o,   p.out, store, conv2d_tiles::chunk_mask(p.out, o), bias, center,
          moments ? sums : nullptr};
      const auto* block_weights = weights + o * p.in;
      std::int64_t i = 0;
      for (; i + 8 <= end - begin; i += 8, out.to += 8 * p.out) {
        sum_pixels<8>(out, from + i * step, step, block_weights, p.in);
      }
      for (; i < end - begin; ++i, out.to += p.out) {
        sum_pixels<1>(out, from + i * step, step, block_weights, p.in);
      }
      for (std::int64_t c = 0; moments && c < valid; ++c) {
        moments[o + c] += double{sums[c]};
        moments[p.out + o + c] += double{sums[width + c]};
      }
    }
  }
}

template <class = void>
void run(bfloat16* y, Store store, const bfloat16* x, const std::byte* packed,
         const Conv2dFusion<bfloat16>& fusion, const Conv2dGeometry& g, bool backward) {
  const auto p = pixels_of(g, backward);
  const auto grain = pieces(std::max<std::int64_t>(p.count(), 1), 8 * units) * 8;
  const auto count = pieces(p.count(), grain);
  const auto sums = fusion.moments.sums;
  Scratch scratch;
  const auto moments = scratch.take<double>(count * std::ssize(sums));
  std::fill(moments.begin(), moments.end(), 0.0);
  parallel_for(count, Cost::of_macs(g.macs() / 2), [&](std::int64_t unit) {
    run_unit(y, store, x, reinterpret_cast<const bfloat16*>(packed), fusion, p,
             {unit * grain, std::min(p.count(), (unit + 1) * grain)},
             sums.empty() ? nullptr : moments.data() + unit * std::ssize(sums));
  });
  join_moments(sums, moments.data(), count);
}

template <class = void>
void forward(std::span<bfloat16> y, std::span<const bfloat16> x, const std::byte* packed,
             const Conv2dFusion<bfloat16>& fusion, const Conv2dGeometry& g) {
  run(y.data(), Store::overwrite, x.data(), packed, fusion, g, false);
}

template <class = void>
void backward_input(std::span<bfloat16> dx, Store store, std::span<const bfloat16> dy,
                    const std::byte* packed, const Conv2dGeometry& g) {
  run(dx.data(), store, dy.data(), packed, {}, g, true);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels

namespace tinynet::inline TINYNET_ABI::kernels {

// Of bfloat16 alone; templates, so that only who computes with it compiles them.
template <class T>
inline constexpr Conv2dForward<T> conv2d_forward_pixels = {
    Path::avx512, conv2d_pixels::refuses<false>, conv2d_pixels::packed_bytes<false>,
    conv2d_pixels::pack<false>, conv2d_pixels::forward<>};

template <class T>
inline constexpr Conv2dBackwardInput<T> conv2d_backward_input_pixels = {
    Path::avx512, conv2d_pixels::refuses<true>, conv2d_pixels::packed_bytes<true>,
    conv2d_pixels::pack<true>, conv2d_pixels::backward_input<>};

}  // namespace tinynet::inline TINYNET_ABI::kernels

#endif
