#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/loops.hpp>

/// What max and average pooling share: the geometry of a window that slides over an image.
namespace tinynet::inline TINYNET_ABI::kernels {

struct Pool2dGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;  // input  [n, h, w, c]
  std::int64_t oh = 0, ow = 0;              // output [n, oh, ow, c]
  std::int64_t kernel = 2;                  // window side, pixels, at most 256
  std::int64_t stride = 2, padding = 0;     // pixels
};

/// Along one axis, the taps of output `o` that lie in an input of `size`: tap t reads input
/// o * stride - padding + t.
constexpr Range taps_inside(std::int64_t o, std::int64_t size, const Pool2dGeometry& g) {
  const std::int64_t first = o * g.stride - g.padding;
  return {std::max<std::int64_t>(0, -first), std::min(g.kernel, size - first)};
}

/// Along one axis, the outputs (of `outputs`) whose window covers input `i`; its tap in output o is
/// i + padding - o * stride.
constexpr Range outputs_covering(std::int64_t i, std::int64_t outputs, const Pool2dGeometry& g) {
  const std::int64_t last = i + g.padding;         // tap 0 of output last / stride
  const std::int64_t first = last - g.kernel + 1;  // its last tap
  return {first <= 0 ? 0 : (first + g.stride - 1) / g.stride,
          std::min(outputs, last / g.stride + 1)};
}

/// The same for each column of an input: two divisions a pixel took longer than its gradient.
inline const Range* outputs_covering_columns(const Pool2dGeometry& g, Scratch& scratch) {
  const auto columns = scratch.take<Range>(g.w);
  for (std::int64_t w = 0; w < g.w; ++w) columns[w] = outputs_covering(w, g.ow, g);
  return columns.data();
}

namespace vectors {

/// Registers whose sums are formed beside each other.
template <int n>
using Registers = std::integral_constant<int, n>;

/// The gradient of pooling gathers: every input pixel asks the windows that cover it, so that each
/// element is written once and windows may overlap. `term(out, tap, lanes)` is what element `out`
/// of the output and those after it add to the pixel that their window reads with `tap`. Four
/// registers at a time where there are as many: the loops over windows, which are one or two, take
/// longer than what is in them (3x3, bfloat16: 39 cycles a register with one, 26 with four).
template <Scalar T, class F>
void pool2d_gather(std::span<T> dx, Store store, accumulate_t<T> scale, const Pool2dGeometry& g,
                   const F& term) {
  using A = accumulate_t<T>;
  constexpr auto w = simd::width<A>;
  Scratch scratch;
  const Range* columns = outputs_covering_columns(g, scratch);
  parallel_ranges(g.n * g.h, grain_rows(g.w * g.c), [&](Range rows) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t n = row / g.h, ih = row % g.h;
      const Range oh = outputs_covering(ih, g.oh, g);
      for (std::int64_t iw = 0; iw < g.w; ++iw) {
        const Range ow = columns[iw];
        const auto add = [&]<int count>(std::int64_t ch, auto lanes, Registers<count>) {
          std::array<simd::batch<A>, count> total;
          total.fill(simd::batch<A>(A(0)));
          for (std::int64_t i = oh.begin; i < oh.end; ++i) {
            for (std::int64_t j = ow.begin; j < ow.end; ++j) {
              const std::int64_t out = (n * g.oh + i) * g.ow + j;
              const std::int64_t tap =
                  (ih + g.padding - i * g.stride) * g.kernel + iw + g.padding - j * g.stride;
              for (int q = 0; q < count; ++q) total[q] += term(out * g.c + ch + q * w, tap, lanes);
            }
          }
          T* to = dx.data() + (row * g.w + iw) * g.c + ch;
          for (int q = 0; q < count; ++q) put(to + q * w, total[q] * scale, store, lanes);
        };
        std::int64_t ch = 0;
        for (; ch + 4 * w <= g.c; ch += 4 * w) add(ch, FullLanes{}, Registers<4>());
        for (; ch + w <= g.c; ch += w) add(ch, FullLanes{}, Registers<1>());
        if (ch < g.c) add(ch, PartLanes{g.c - ch}, Registers<1>());
      }
    }
  });
}

}  // namespace vectors

}  // namespace tinynet::inline TINYNET_ABI::kernels
