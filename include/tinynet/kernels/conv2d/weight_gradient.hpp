#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/weight_sums.hpp>

/// The weight gradient: dw[oc, tap, ic] = sum over pixels of dy[pixel, oc] * x[pixel + tap, ic], a
/// product of two matrices that both lie in memory with their channels contiguous. Nothing is
/// transposed: x is broadcast, dy is read as vectors.
///
/// A unit is a range of strips, a group and a range of blocks of output channels, and has a partial
/// gradient of its own. The partials, at most 8, are added in order at the end, so that results
/// have the same bits for any number of threads.
///
/// Floor: 2 * macs / FMA peak. Measured in fp32 on one AVX-512 core, 3 x 3 windows, batch 64: 64 to
/// 64 channels at 28 x 28 and 128 at 14 x 14 run at 77 % of it (AVX2: 68 %); a tenth of the time
/// goes into copying x, once for each part of the blocks, and dy.
/// benchmarks/kernels --benchmark_filter=conv2d
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

/// Adds to a block's sums [run][row][channel] what some rows of pixels contribute. The taps go
/// round within a few input channels, whose values stay in L1.
template <class A, int Vectors>
void add_block(A* sums, const Run* runs, std::int64_t run_count, const A* const* x_rows,
               std::int64_t row_count, std::int64_t cols, std::int64_t step, const A* dy) {
  const auto rows = padded_rows(runs[0].length), in_tall = tall_rows(rows);
  for (std::int64_t m = 0; m < rows; m += m < in_tall ? tall : low) {
    const auto add =
        m < in_tall ? add_outer_products<A, tall, Vectors> : add_outer_products<A, low, Vectors>;
    for (std::int64_t i = 0; i < run_count; ++i) {
      add(x_rows, row_count, cols, step, runs[i].offset + m, dy,
          sums + (i * rows + m) * Vectors * simd::width<A>);
    }
  }
}

/// Copies a block's channels, from `from` on, of `pixels` pixels of dy, missing channels zero.
template <class T>
void copy_panel(accumulate_t<T>* to, std::int64_t size, const T* from, std::int64_t valid,
                std::int64_t pixels, std::int64_t stride) {
  using A = accumulate_t<T>;
  for (std::int64_t p = 0; p < pixels; ++p, to += size, from += stride) {
    if (valid < size) simd::store(to + size - simd::width<A>, simd::batch<A>(A(0)));
    widen(to, from, valid);
  }
}

/// Sums up one partial gradient for a part of a group's blocks.
template <Scalar T>
struct SumUnit {
  using A = accumulate_t<T>;
  SumLayout<A> to;
  const T* dy;
  const T* x;
  InputMap map;
  std::int64_t parts;

  // Not inlined: parallel_for calls it in two places.
  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto& s = to.s;
    const auto& g = to.c.g;
    const auto part = unit % parts, group = unit / parts % g.groups;
    const auto partial = unit / parts / g.groups;
    const auto first = part * to.blocks() / parts * block_channels<A>;
    const auto last = std::min((part + 1) * to.blocks() / parts * block_channels<A>, to.channels());
    std::fill(to.block(partial, group, first), to.block(partial, group, last), A(0));
    // Pixels summed up between loading and storing sums: what is read of them stays in L1.
    const auto pass_rows = std::max<std::int64_t>(128 / g.ow, 1);

    Scratch scratch;
    const auto copy = scratch.take<A>(s.elements());
    const auto panels = scratch.take<A>(s.pixels() * (last - first));
    const auto x_rows = scratch.list<const A*>(s.images * s.rows);
    const auto end = (partial + 1) * s.count / to.partials;
    for (auto index = partial * s.count / to.partials; index < end; ++index) {
      const auto strip = s.at(index, to.c);
      copy_strip(copy.data(), x, map, strip, group, s, to.c);
      const auto image_rows = strip.row_end - strip.row;
      const auto row_count = (strip.image_end - strip.image) * image_rows;
      for (std::int64_t r = 0; r < row_count; ++r) {
        const auto n = r / image_rows, a = r % image_rows;
        x_rows[static_cast<std::size_t>(r)] = copy.data() + n * s.image + a * s.step * s.row;
      }
      // A strip is a part of one image or whole images: its pixels follow each other in dy.
      const T* strip_dy = dy + (strip.image * g.oh + strip.row) * g.ow * g.oc;
      for (auto o = first; o < last; o += block_channels<A>) {
        copy_panel(panels.data() + (o - first) * s.pixels(), to.block_size(o),
                   strip_dy + group * to.c.group_out() + o,
                   std::min(to.block_size(o), to.c.group_out() - o), row_count * g.ow, g.oc);
      }
      for (std::int64_t r = 0; r < row_count; r += pass_rows) {
        for (auto o = first; o < last; o += block_channels<A>) {
          const auto size = to.block_size(o);
          const auto add = size == block_channels<A> ? add_block<A, 2> : add_block<A, 1>;
          add(to.block(partial, group, o), to.runs.data(),
              static_cast<std::int64_t>(to.runs.size()), x_rows.data() + r,
              std::min(pass_rows, row_count - r), g.ow, s.step * s.pixel,
              panels.data() + (o - first) * s.pixels() + r * g.ow * size);
        }
      }
    }
  }
};

}  // namespace detail

/// dw[oc, kh, kw, ic/groups] = gradient, or += .
template <Scalar T>
void weight_gradient(param_t<T>* dw, Store store, const T* dy, const T* x, InputMap map,
                     const Conv2dGeometry& g) {
  using A = accumulate_t<T>;
  Scratch scratch;
  detail::SumLayout<A> sums{.c = forward_correlation(g)};
  const auto& c = sums.c;
  sums.s = cut(c, sizeof(A), false);
  const auto runs = scratch.list<Run>(c.tap_count());
  const auto run_count =
      find_runs(runs.data(), c.rows(0), c.cols(0), sums.s, c.group_in(), c.group_in());
  sums.runs = runs.first(static_cast<std::size_t>(run_count));
  const auto most = detail::most_partials(sums.partial_size() * std::int64_t{sizeof(A)});
  sums.partials = std::clamp<std::int64_t>(sums.s.count, 1, most);
  sums.sums = scratch.take<A>(sums.partials * sums.partial_size()).data();

  // Where partials are few the blocks are shared out. Each part copies x again: with 16 units
  // instead of 8 the whole pass took 6 % longer on one core.
  constexpr std::int64_t units = 8;
  const auto parts = std::clamp<std::int64_t>(units / (sums.partials * g.groups), 1, sums.blocks());
  parallel_for(sums.partials * g.groups * parts, Cost::of_macs(g.macs()),
               detail::SumUnit<T>{sums, dy, x, map, parts});
  parallel_for(g.groups * sums.blocks() * run_count,
               Cost::of_elements(sums.partials * sums.partial_size()),
               detail::StoreUnit<A>{sums, dw, store});
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
