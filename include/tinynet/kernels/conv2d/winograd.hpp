#pragma once

#include <atomic>

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/contract.hpp>
#include <tinynet/kernels/loops.hpp>

/// Windows of 3 x 3 at stride 1 by Winograd's F(2 x 2, 3 x 3): four outputs from 16 products for each
/// pair of channels instead of 36 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
/// 2015). In one dimension two outputs are
///
///     A^T [(G w) * (B^T x)],   B^T x = (x0 - x2, x1 + x2, x2 - x1, x1 - x3)
///                              G w   = (w0, (w0 + w1 + w2) / 2, (w0 - w1 + w2) / 2, w2)
///                              A^T m = (m0 + m1 + m2, m1 - m2 - m3)
///
/// and in two the same along columns and rows. Summed over input channels it is 16 products of matrices,
/// one for each *place* of a transform, of tiles and channels. The gradient of w is
/// G^T [(B^T x B) * (A dy A^T)] G, summed over tiles.
///
/// Error: each output depends on its own window alone, and a sum over c channels errs by at most
/// (c + 12) u * 16 * sum over channels of the largest |x| of the window times the sum of |w|, where u is half
/// an epsilon of float; a direct one by (9 c + 2) u * sum of |x w|. So only what is large at a small weight
/// costs digits. (Two roundings for x, four for w, one for each channel, four for the way back, one for a bias;
/// places weigh |x| at most four times, the rest 4 |w| together.) A gradient of w takes sums over tiles for
/// sums over channels, and the largest |x| of a tile's 4 x 4 pixels.
/// What is infinite or NaN reaches the outputs and input gradients that read it, as NaN perhaps, and in dw all
/// taps of its channel. Values above a quarter of the largest float overflow.
namespace tinynet::inline TINYNET_ABI::kernels {

/// Whether it may be chosen.
inline std::atomic<bool>& winograd_allowed() {
  static std::atomic<bool> allowed = true;
  return allowed;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels

namespace tinynet::inline TINYNET_ABI::kernels::winograd {

inline constexpr std::int64_t places = 16;

/// Tiles of 2 x 2 outputs, and the 4 x 4 inputs each of them reads; those of a row, then the rows of an
/// image, then the images.
struct Tiling {
  std::int64_t n = 0, in_h = 0, in_w = 0, in_c = 0, out_h = 0, out_w = 0, out_c = 0;
  std::int64_t padding = 0;  // rows and columns read before the first of the input

  std::int64_t rows() const { return pieces(out_h, 2); }
  std::int64_t cols() const { return pieces(out_w, 2); }
  std::int64_t all_rows() const { return n * rows(); }
  std::int64_t count() const { return all_rows() * cols(); }
};

constexpr Tiling forward_tiling(const Conv2dGeometry& g) {
  return {g.n, g.h, g.w, g.ic, g.oh, g.ow, g.oc, g.padding};
}
/// Of the input gradient, which correlates dy with the window turned round.
constexpr Tiling backward_tiling(const Conv2dGeometry& g) {
  return {g.n, g.oh, g.ow, g.oc, g.h, g.w, g.ic, 2 - g.padding};
}

/// `count` values rounded up to an odd number of lines, so that those of neighbouring tiles, or of places,
/// do not meet in few sets of a cache.
template <class A>
constexpr std::int64_t spread(std::int64_t count) {
  constexpr auto line = std::int64_t{64 / sizeof(A)};
  return (pieces(count, line) | 1) * line;
}

/// to[place][channel] = B^T x B of the 4 x 4 pixels.
template <class T>
void transform_input(accumulate_t<T>* to, std::int64_t place_stride, const T* const* pixels,
                     std::int64_t channels) {
  using A = accumulate_t<T>;
  for_lanes<A>(channels, [&](std::int64_t c, auto lanes) {
    simd::batch<A> half[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const auto x0 = lanes.load(pixels[j] + c), x1 = lanes.load(pixels[4 + j] + c);
      const auto x2 = lanes.load(pixels[8 + j] + c), x3 = lanes.load(pixels[12 + j] + c);
      half[0][j] = x0 - x2;
      half[1][j] = x1 + x2;
      half[2][j] = x2 - x1;
      half[3][j] = x1 - x3;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const auto& x = half[i];
      A* row = to + 4 * i * place_stride + c;
      simd::store(row, x[0] - x[2]);
      simd::store(row + place_stride, x[1] + x[2]);
      simd::store(row + 2 * place_stride, x[2] - x[1]);
      simd::store(row + 3 * place_stride, x[1] - x[3]);
    }
  });
}

/// to[place][tile][channel] = the transforms of the map of the input, of rows [begin, end) of tiles.
template <class T>
void transform_rows(accumulate_t<T>* to, std::int64_t place_stride, const T* in, InputMap map,
                    const Tiling& t, std::int64_t begin, std::int64_t end) {
  Scratch scratch;
  const auto line = t.in_w * t.in_c, stride = spread<accumulate_t<T>>(t.in_c);
  const auto zeros = scratch.take<T>(t.in_c);
  std::fill(zeros.begin(), zeros.end(), T(0.0f));
  T* const mapped = map ? scratch.take<T>(4 * line).data() : nullptr;  // the rows that a tile reads
  std::int64_t next = 0;                                               // row to be mapped
  for (auto row = begin; row < end; ++row) {
    const auto image = row / t.rows(), first = row % t.rows() * 2 - t.padding;
    if (row == begin || row % t.rows() == 0) next = 0;
    const T* rows[4] = {};
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto ih = first + i;
      if (ih < 0 || ih >= t.in_h) continue;
      rows[i] = in + (image * t.in_h + ih) * line;
      if (!map) continue;
      T* own = mapped + ih % 4 * line;
      if (ih >= next) map(own, rows[i], t.in_w);
      rows[i] = own;
    }
    next = first + 4;
    for (std::int64_t col = 0; col < t.cols(); ++col, to += stride) {
      const T* pixels[places];
      for (std::int64_t i = 0; i < places; ++i) {
        const auto iw = col * 2 - t.padding + i % 4;
        const bool inside = rows[i / 4] && iw >= 0 && iw < t.in_w;
        pixels[i] = inside ? rows[i / 4] + iw * t.in_c : zeros.data();
      }
      transform_input(to, place_stride, pixels, t.in_c);
    }
  }
}

/// Whether it is of that kind at all.
constexpr bool fits(const Conv2dGeometry& g) {
  return g.kh == 3 && g.kw == 3 && g.stride == 1 && g.dilation == 1 && g.groups == 1;
}

inline const char* refuses(const Conv2dGeometry& g) {
  if (!winograd_allowed()) return "refused by winograd_allowed()";
  if (!fits(g)) return "not a window of 3 x 3 at stride 1 in one group";
  // 16 -> 16 at 32, batch 128, AVX-512: forward 2.3 ms, direct 3.0, weight gradient 2.9 and 2.6.
  if (std::min(g.ic, g.oc) < 16) return "few channels: transforms take longer than they save";
  // 256 -> 256 at 7, one image, 16 tiles: 0.70 ms, direct 0.46.
  if (std::min(forward_tiling(g).count(), backward_tiling(g).count()) < 24) return "few tiles";
  return nullptr;
}

}  // namespace tinynet::inline TINYNET_ABI::kernels::winograd
