#pragma once

#include <tinynet/core/parallel.hpp>
#include <tinynet/kernels/depthwise_conv2d/contract.hpp>
#include <tinynet/kernels/depthwise_conv2d/rows.hpp>

/// Depthwise convolution in vectors: a unit of work copies the rows it reads into a band, zeros
/// around it, and runs along it. Each activation is read from memory once and written once.
///
/// Floor: the bytes of x and y (or dx, dy and x) over the bandwidth of memory; 0.5 to 0.7 of the speed of a copy
/// is reached, forward at stride 2 0.4. (benchmarks/kernels --benchmark_filter='^memory.*depthwise')
namespace tinynet::inline TINYNET_ABI::kernels {

namespace depthwise {

/// Rows of results that one unit computes, of `rows` rows in each of `images` images: some 2^15 elements,
/// fewer where that makes work for eight threads.
inline std::int64_t unit_rows(std::int64_t images, std::int64_t rows, std::int64_t row_size) {
  constexpr std::int64_t elements = 1 << 15, units = 8;
  const auto most = std::max<std::int64_t>(elements / std::max<std::int64_t>(row_size, 1), 1);
  const auto blocks =
      std::max(pieces(rows, most), pieces(units, std::max<std::int64_t>(images, 1)));
  return round_up(pieces(rows, blocks), together);
}

/// A cycle and a half an element: a copy into the band, and the taps from registers.
inline Cost cost(const Conv2dGeometry& g) {
  return Cost::of_elements(g.n * g.ic * (g.h * g.w + g.oh * g.ow));
}

}  // namespace depthwise

/// Pixels of one column of the window stand side by side in the band: column kw of them at
/// kw * d % s pixels from s to s, kw * d / s further right.
template <Scalar T>
void depthwise_forward_simd(std::span<T> y, std::span<const T> x, std::span<const param_t<T>> w,
                            std::span<const param_t<T>> bias, InputMap map,
                            const Conv2dGeometry& g) {
  using namespace depthwise;
  using X = accumulate_t<T>;
  if (y.empty()) return;
  const auto c = g.oc, s = g.stride, taps = g.kh * g.kw, row_size = g.ow * c;
  Scratch scratch;
  const auto weights = weight_rows<X>(scratch, taps, c, [&](auto t, X* row) {
    for (std::int64_t i = 0; i < c; ++i) row[i] = w[i * taps + t];
  });
  const auto biases = weight_rows<X>(
      scratch, 1, c, [&](auto, X* row) { std::copy(bias.begin(), bias.end(), row); });
  const auto reach = (g.kh - 1) * g.dilation + 1;        // rows
  const auto part = g.ow + (g.kw - 1) * g.dilation / s;  // columns that are equal modulo s
  auto* const sources = s == 1 ? nullptr : scratch.take<std::int64_t>(s * part).data();
  for (std::int64_t i = 0; sources && i < s * part; ++i) {
    const auto column = i % part * s + i / part - g.padding;
    sources[i] = column < g.w ? column : -1;
  }
  const BandShape shape{.cols = s * part, .c = c, .left = g.padding, .sources = sources};
  auto* const offsets = scratch.take<std::int64_t>(taps).data();
  auto* const weight_of = scratch.take<std::int64_t>(taps).data();
  for (std::int64_t t = 0; t < taps; ++t) {
    const auto column = t % g.kw * g.dilation;
    offsets[t] = t / g.kw * g.dilation * shape.row_size() + (column % s * part + column / s) * c;
    weight_of[t] = t;
  }
  Window window;
  if (g.kh == 3 && g.kw == 3 && g.dilation == 1) window = {3, 3, static_cast<int>(s)};
  const Taps reads{offsets, weight_of, taps, window};
  const auto rows = unit_rows(g.n, g.oh, s * shape.row_size());
  const auto blocks = pieces(g.oh, rows);
  constexpr std::int64_t vector_bytes = together * simd::width<X> * sizeof(T);
  parallel_for(g.n * blocks, cost(g), [&](std::int64_t unit) {
    const auto n = unit / blocks, first = unit % blocks * rows;
    const auto end = std::min(first + rows, g.oh);
    Scratch own;
    Band<T, X> band(own, shape, (std::min(together, g.oh) - 1) * s + reach, map, g.h, g.w);
    band.begin(x.data() + n * g.h * g.w * c);
    for (auto row = first; row < end; row += together) {
      const auto some = std::min(together, end - row);
      const auto* from = band.rows(row * s - g.padding, (some - 1) * s + reach);
      T* const to = y.data() + (n * g.oh + row) * row_size;
      const Rows<X> result{.count = some,
                           .size = row_size,
                           .step = row_size,
                           .c = c,
                           .from = from,
                           .from_step = s * shape.row_size(),
                           .taps = reads,
                           .ahead = {.read = {band.next_row(), s * s * vector_bytes},
                                     .write = {to + some * row_size, vector_bytes}}};
      correlate(result, to, Store::overwrite, weights, biases);
    }
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
