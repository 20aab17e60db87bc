#pragma once

#include <tinynet/kernels/conv2d/correlate.hpp>

/// The weight gradient: a product of two matrices that both lie in memory with channels contiguous,
/// pixels being summed over. No transposition: x is broadcast, dy is read as vectors.
///
/// A unit is a range of strips, a group and a range of blocks of output channels. It keeps a partial
/// gradient; the partials, at most 8, are added in order at the end, so that results have the same
/// bits for any number of threads.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

// Rows of the two blocks that sums are kept in. Any run of 8 (4) and more is made of both kinds with
// at most 3 (1) rows too many.
inline constexpr std::int64_t tall = simd::registers == 32 ? 12 : 6;
inline constexpr std::int64_t low = simd::registers == 32 ? 8 : 4;

constexpr std::int64_t padded_rows(std::int64_t length) {
  constexpr auto unit = tall - low;
  return std::max(low, (length + unit - 1) / unit * unit);
}

/// Rows that go into tall blocks, the rest being a multiple of low ones.
constexpr std::int64_t tall_rows(std::int64_t rows) {
  auto result = rows / tall * tall;
  while ((rows - result) % low) result -= tall;
  return result;
}

/// Pixel rows that are summed up between loading and storing a block of sums: as many as stay in L1
/// with all that reads them.
constexpr std::int64_t pixels_per_pass = 128;

/// Adds to a block's partial gradient what some rows of pixels contribute.
template <class A, int Vectors>
void add_block(A* sums, const Run* runs, std::int64_t run_count, const A* const* x_rows,
               std::int64_t row_count, std::int64_t cols, std::int64_t step, const A* dy) {
  constexpr auto size = Vectors * simd::width<A>;
  for (std::int64_t i = 0; i < run_count; ++i) {
    const auto rows = padded_rows(runs[i].length), in_tall = tall_rows(rows);
    std::int64_t m = 0;
    for (; m < in_tall; m += tall, sums += tall * size) {
      add_outer_products<A, tall, Vectors>(x_rows, row_count, cols, step, runs[i].offset + m, dy,
                                           sums);
    }
    for (; m < rows; m += low, sums += low * size) {
      add_outer_products<A, low, Vectors>(x_rows, row_count, cols, step, runs[i].offset + m, dy,
                                          sums);
    }
  }
}

/// dw[channel][k] (+)= sum over partials of sums[k][channel], for one run of k.
template <class A>
void add_partials(A* dw, std::int64_t dw_stride, Store store, std::int64_t channels,
                  std::int64_t length, const A* sums, std::int64_t size, std::int64_t partials,
                  std::int64_t partial_stride) {
  constexpr auto W = simd::width<A>;
  constexpr std::int64_t chunk = 16;  // turned in L1, so that dw is written along its rows
  alignas(64) A turned[chunk * block_channels<A>];
  for (std::int64_t k = 0; k < length; k += chunk) {
    const auto rows = std::min(chunk, length - k);
    for (std::int64_t e = 0; e < rows * size; e += W) {
      auto sum = simd::load(sums + k * size + e);
      for (std::int64_t p = 1; p < partials; ++p) {
        sum = sum + simd::load(sums + p * partial_stride + k * size + e);
      }
      simd::store(turned + e, sum);
    }
    for (std::int64_t o = 0; o < channels; ++o) {
      A* to = dw + o * dw_stride + k;
      for (std::int64_t r = 0; r < rows; ++r) {
        const A value = turned[r * size + o];
        to[r] = store == Store::add ? to[r] + value : value;
      }
    }
  }
}

}  // namespace detail

/// dw[oc, kh, kw, ic/groups] (+)= gradient, in param_t.
template <Scalar T>
void weight_gradient(param_t<T>* dw, Store store, const T* dy, const T* x,
                     const Conv2dGeometry& g) {
  using A = accumulate_t<T>;
  const auto c = forward_correlation(g);
  const Strips s = cut<T>(c, false);
  const auto in = c.group_in(), out = c.group_out();
  const auto rows = c.rows(0), cols = c.cols(0);
  Scratch scratch;
  const auto runs = scratch.take<Run>(g.kh * g.kw);
  const auto run_count = find_runs(runs.data(), rows, cols, s, in);
  const auto run_length = runs[0].length;  // all runs are alike
  const auto sum_rows = run_count * detail::padded_rows(run_length);

  const auto padded = padded_channels<A>(out);
  const auto blocks = (out + block_channels<A> - 1) / block_channels<A>;
  const auto group_sums = sum_rows * padded;
  const auto partial_size = g.groups * group_sums;
  const auto bytes = partial_size * std::int64_t{sizeof(A)};
  const std::int64_t most = bytes <= 512 << 10 ? 8 : bytes <= 2 << 20 ? 4 : bytes <= 4 << 20 ? 2 : 1;
  const auto partials = std::clamp<std::int64_t>(s.count, 1, most);
  constexpr std::int64_t units = 16;
  const auto parts = std::clamp<std::int64_t>(units / (partials * g.groups), 1, blocks);
  const auto sums = scratch.take<A>(partials * partial_size);

  parallel_for(partials * g.groups * parts, [&](std::int64_t unit) {
    const auto part = unit % parts, group = unit / parts % g.groups;
    const auto partial = unit / parts / g.groups;
    const auto first = part * blocks / parts * block_channels<A>;
    const auto last = std::min((part + 1) * blocks / parts * block_channels<A>, padded);
    A* unit_sums = sums.data() + partial * partial_size + group * group_sums;
    std::fill(unit_sums + first * sum_rows, unit_sums + last * sum_rows, A(0));

    Scratch mine;
    const auto copy = mine.take<A>(s.elements());
    const auto panels = mine.take<A>(s.pixels() * (last - first));
    const auto x_rows = mine.take<const A*>(s.images * s.rows);
    for (auto index = partial * s.count / partials; index < (partial + 1) * s.count / partials;
         ++index) {
      const auto strip = s.at(index, c);
      copy_strip(copy.data(), x, strip, group, s, c);
      const auto strip_rows = strip.row_end - strip.row;
      const auto row_count = (strip.image_end - strip.image) * strip_rows;
      for (std::int64_t r = 0; r < row_count; ++r) {
        const auto n = r / strip_rows, a = r % strip_rows;
        x_rows[static_cast<std::size_t>(r)] = copy.data() + n * s.image + a * s.step * s.row;
        // dy of the row, one panel a block: [block][pixel of the strip][channel of the block]
        const T* from = dy + ((strip.image + n) * g.oh + strip.row + a) * g.ow * g.oc + group * out;
        for (auto o = first; o < last; o += block_channels<A>) {
          const auto size = std::min(block_channels<A>, padded - o), valid = std::min(size, out - o);
          A* to = panels.data() + (o - first) * s.pixels() + r * g.ow * size;
          for (std::int64_t p = 0; p < g.ow; ++p, to += size) {
            widen(to, from + p * g.oc + o, valid);
            std::fill(to + valid, to + size, A(0));
          }
        }
      }
      const auto pass = std::max<std::int64_t>(detail::pixels_per_pass / g.ow, 1);
      for (std::int64_t r = 0; r < row_count; r += pass) {
        const auto count = std::min(pass, row_count - r);
        for (auto o = first; o < last; o += block_channels<A>) {
          const auto size = std::min(block_channels<A>, padded - o);
          const auto run = size == block_channels<A> ? detail::add_block<A, 2> : detail::add_block<A, 1>;
          run(unit_sums + o * sum_rows, runs.data(), run_count, x_rows.data() + r, count, g.ow,
              s.step * s.pixel, panels.data() + (o - first) * s.pixels() + r * g.ow * size);
        }
      }
    }
  });

  parallel_for(g.groups * blocks * run_count, [&](std::int64_t unit) {
    const auto run = unit % run_count, group = unit / run_count / blocks;
    const auto first = unit / run_count % blocks * block_channels<A>;
    const auto size = std::min(block_channels<A>, padded - first);
    const auto k = g.kh * g.kw * in;
    detail::add_partials<A>(
        dw + (group * out + first) * k + run * run_length, k, store, std::min(size, out - first),
        run_length, sums.data() + group * group_sums + first * sum_rows +
                        run * detail::padded_rows(run_length) * size,
        size, partials, partial_size);
  });
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
