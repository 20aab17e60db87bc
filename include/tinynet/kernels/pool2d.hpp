#pragma once

#include <algorithm>
#include <cstdint>

#include <tinynet/core/parallel.hpp>
#include <tinynet/core/scratch.hpp>

/// What max and average pooling share: the geometry of a window that slides over an image.
namespace tinynet::inline TINYNET_ABI::kernels {

struct Pool2dGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;  // input  [n, h, w, c]
  std::int64_t oh = 0, ow = 0;              // output [n, oh, ow, c]
  std::int64_t kernel = 2;                  // window side, pixels, at most 256
  std::int64_t stride = 2, padding = 0;     // pixels

  friend bool operator==(const Pool2dGeometry&, const Pool2dGeometry&) = default;
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
  const std::int64_t last = i + g.padding;        // tap 0 of output last / stride
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

}  // namespace tinynet::inline TINYNET_ABI::kernels
