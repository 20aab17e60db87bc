#pragma once

#include <tinynet/core/cpu.hpp>
#include <tinynet/kernels/conv2d/pixels.hpp>
#include <tinynet/kernels/gemm/avx512_product.hpp>

#ifdef TINYNET_TILES

/// Windows of one pixel by dot products of AVX-512, straight from the image. Neighbouring channels of
/// a pixel are the pairs that VDPBF16PS broadcasts, so nothing is copied into lanes or tiles. Eight
/// pixels x 32 outputs stay in registers.
namespace tinynet::inline TINYNET_ABI::kernels::conv2d_pixels {

inline std::int64_t packed_elements(const Pixels& p) { return pieces(p.out, width) * p.in * width; }

template <bool backward>
const char* refuses(const Conv2dGeometry& g) {
  if (!cpu().fast_bf16_dots) return cpu().bf16_dots_refusal.c_str();
  if (const char* why = refuses_window(g, backward)) return why;
  if ((backward ? g.oc : g.ic) % 2 != 0) return "an odd number of channels makes no pairs";
  return nullptr;
}

template <bool backward>
std::int64_t packed_bytes(const Conv2dGeometry& g) {
  return packed_elements(pixels_of(g, backward)) * std::int64_t{sizeof(bfloat16)};
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

/// Rows pixels that lie `step` elements apart.
template <int Rows>
TINYNET_TARGET_BF16 void sum_pixels(Output& out, const bfloat16* x, std::int64_t step,
                                    const bfloat16* weights, std::int64_t in) {
  __m512 low[Rows], high[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    low[r] = _mm512_load_ps(out.bias);
    high[r] = _mm512_load_ps(out.bias + 16);
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
  out.to += Rows * out.step;
  if (!out.has_moments) return;
  for (int half = 0; half < 2; ++half) {
    const auto center = _mm512_load_ps(out.center + 16 * half);
    auto first = _mm512_load_ps(out.moments[0] + 16 * half);
    auto second = _mm512_load_ps(out.moments[1] + 16 * half);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const auto value = _mm512_sub_ps(half ? high[r] : low[r], center);
      first = _mm512_add_ps(first, value);
      second = _mm512_fmadd_ps(value, value, second);
    }
    _mm512_store_ps(out.moments[0] + 16 * half, first);
    _mm512_store_ps(out.moments[1] + 16 * half, second);
  }
}

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
      Output out(y + begin * p.out, store, fusion, p, o);
      const auto* block_weights = weights + o * p.in;
      std::int64_t i = 0;
      for (; i + 8 <= end - begin; i += 8) {
        sum_pixels<8>(out, from + i * step, step, block_weights, p.in);
      }
      for (; i < end - begin; ++i) sum_pixels<1>(out, from + i * step, step, block_weights, p.in);
      out.add_moments(moments, o);
    }
  }
}

template <class = void>
void forward(std::span<bfloat16> y, std::span<const bfloat16> x, const std::byte* packed,
             const Conv2dFusion<bfloat16>& fusion, const Conv2dGeometry& g) {
  run(y.data(), Store::overwrite, x.data(), packed, fusion, pixels_of(g, false),
      Cost::of_macs(g.macs() / 2), run_unit<>);
}

template <class = void>
void backward_input(std::span<bfloat16> dx, Store store, std::span<const bfloat16> dy,
                    const std::byte* packed, const Conv2dGeometry& g) {
  run(dx.data(), store, dy.data(), packed, {}, pixels_of(g, true), Cost::of_macs(g.macs() / 2),
      run_unit<>);
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
