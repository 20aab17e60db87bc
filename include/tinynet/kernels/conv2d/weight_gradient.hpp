#pragma once

#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/pack.hpp>
#include <tinynet/kernels/conv2d/strip.hpp>

/// The weight gradient: dw[oc, tap, ic] = sum over pixels of dy[pixel, oc] * x[pixel + tap, ic], a
/// product of two matrices that both lie in memory with their channels contiguous. Nothing is
/// transposed: x is broadcast, dy is read as vectors.
///
/// A unit is a range of strips, a group and a range of blocks of output channels, and has a partial
/// gradient of its own. The partials, at most 8, are added in order at the end, so that results
/// have the same bits for any number of threads.
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

// Heights of the blocks of sums. A run of elements is made of both kinds, so that few rows are in
// vain; the low ones are slower.
inline constexpr std::int64_t tall = simd::registers == 32 ? 12 : 6;
inline constexpr std::int64_t low = simd::registers == 32 ? 8 : 4;

/// The rows of blocks that hold `length` elements.
constexpr std::int64_t padded_rows(std::int64_t length) {
  return std::max(low, pieces(length, tall - low) * (tall - low));
}

/// The rows of those that are in tall blocks.
constexpr std::int64_t tall_rows(std::int64_t rows) {
  auto result = rows / tall * tall;
  while ((rows - result) % low) result -= tall;
  return result;
}

/// Adds to a block's sums [run][row][channel] what some rows of pixels contribute. The taps go
/// round within a few input channels, whose values stay in L1.
template <class A, int Vectors>
void add_block(A* sums, const Run* runs, std::int64_t run_count, const A* const* x_rows,
               std::int64_t row_count, std::int64_t cols, std::int64_t step, const A* dy) {
  const auto rows = padded_rows(runs[0].length), in_tall = tall_rows(rows);
  for (std::int64_t m = 0; m < rows; m += m < in_tall ? tall : low) {
    const auto add = m < in_tall ? add_outer_products<A, tall, Vectors>
                                 : add_outer_products<A, low, Vectors>;
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
  for (std::int64_t p = 0; p < pixels; ++p, to += size, from += stride) {
    widen(to, from, valid);
    std::fill(to + valid, to + size, accumulate_t<T>(0));
  }
}

/// dw[channel][k] (+)= sum over partials of sums[k][channel], for the elements k of one run.
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

/// Partial gradients for sums of `bytes`: more of them make more units, but all must be stored.
constexpr std::int64_t most_partials(std::int64_t bytes) {
  return bytes <= 512 << 10 ? 8 : bytes <= 2 << 20 ? 4 : bytes <= 4 << 20 ? 2 : 1;
}

/// How the sums of a weight gradient lie: [partial][group][block][run][row][channel of the block].
template <class A>
struct SumLayout {
  Correlation c;
  Strips s = {};
  std::span<Run> runs = {};  // all of one length
  std::int64_t partials = 1;
  A* sums = nullptr;

  std::int64_t run_rows() const { return padded_rows(runs[0].length); }
  std::int64_t rows() const { return static_cast<std::int64_t>(runs.size()) * run_rows(); }
  std::int64_t channels() const { return padded_channels<A>(c.group_out()); }
  std::int64_t partial_size() const { return c.g.groups * rows() * channels(); }
  std::int64_t blocks() const { return pieces(c.group_out(), block_channels<A>); }
  std::int64_t block_size(std::int64_t first) const {
    return std::min(block_channels<A>, channels() - first);
  }
  /// The sums of the block that begins with channel `first` of a group.
  A* block(std::int64_t partial, std::int64_t group, std::int64_t first) const {
    return sums + partial * partial_size() + (group * channels() + first) * rows();
  }
};

/// Sums up one partial gradient for a part of a group's blocks.
template <Scalar T>
struct SumUnit {
  using A = accumulate_t<T>;
  SumLayout<A> to;
  const T* dy;
  const T* x;
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
    const auto x_rows = scratch.take<const A*>(s.images * s.rows);
    const auto end = (partial + 1) * s.count / to.partials;
    for (auto index = partial * s.count / to.partials; index < end; ++index) {
      const auto strip = s.at(index, to.c);
      copy_strip(copy.data(), x, strip, group, s, to.c);
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

/// Adds the partials of one run of one block into dw.
template <class A>
struct StoreUnit {
  SumLayout<A> from;
  A* dw;
  Store store;

  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto run_count = static_cast<std::int64_t>(from.runs.size());
    const auto run = unit % run_count, block = unit / run_count % from.blocks();
    const auto group = unit / run_count / from.blocks();
    const auto first = block * block_channels<A>, length = from.runs[0].length;
    const auto size = from.block_size(first), terms = run_count * length;
    add_partials<A>(dw + (group * from.c.group_out() + first) * terms + run * length, terms, store,
                    std::min(size, from.c.group_out() - first), length,
                    from.block(0, group, first) + run * from.run_rows() * size, size,
                    from.partials, from.partial_size());
  }
};

}  // namespace detail

/// dw[oc, kh, kw, ic/groups] = gradient, or += .
template <Scalar T>
void weight_gradient(param_t<T>* dw, Store store, const T* dy, const T* x,
                     const Conv2dGeometry& g) {
  using A = accumulate_t<T>;
  Scratch scratch;
  detail::SumLayout<A> sums{.c = forward_correlation(g)};
  const auto& c = sums.c;
  sums.s = cut(c, sizeof(A), false);
  const auto runs = scratch.take<Run>(c.tap_count());
  const auto run_count =
      find_runs(runs.data(), c.rows(0), c.cols(0), sums.s, c.group_in(), c.group_in());
  sums.runs = runs.first(static_cast<std::size_t>(run_count));
  const auto most = detail::most_partials(sums.partial_size() * std::int64_t{sizeof(A)});
  sums.partials = std::clamp<std::int64_t>(sums.s.count, 1, most);
  sums.sums = scratch.take<A>(sums.partials * sums.partial_size()).data();

  constexpr std::int64_t units = 16;  // share the blocks out where partials are fewer
  const auto parts =
      std::clamp<std::int64_t>(units / (sums.partials * g.groups), 1, sums.blocks());
  parallel_for(sums.partials * g.groups * parts, detail::SumUnit<T>{sums, dy, x, parts});
  parallel_for(g.groups * sums.blocks() * run_count, detail::StoreUnit<A>{sums, dw, store});
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
