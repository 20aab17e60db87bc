#pragma once

#include <tinynet/core/cache.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/kernels/conv2d/pack.hpp>
#include <tinynet/kernels/conv2d/strip.hpp>
#include <tinynet/kernels/loops.hpp>

/// Runs a correlation over vectors of output channels: the forward pass, and the input gradient.
///
/// A unit is a strip of pixels and a range of channel blocks. It copies the strip's input, lists
/// its pixels, and multiplies tiles of them, whatever rows and images they come from, with the
/// panel of weights of a block. Each output is summed by one thread, in an order that depends on
/// the layer alone: neither on threads nor on the batch.
///
/// Floor: 2 * macs / FMA peak. Measured in fp32 on one AVX-512 core, 3 x 3 windows, batch 64: 64 to
/// 64 channels at 28 x 28 run at 80 % of it, 128 at 14 x 14 at 86 %, in both directions (AVX2: 84
/// and 76 %); bfloat16 activations as fast.
/// benchmarks/kernels --benchmark_filter=conv2d
namespace tinynet::inline TINYNET_ABI::kernels {

namespace detail {

/// Where the outputs of a strip are read from and written to, for one pair of phases.
template <class A>
struct PixelList {
  Slice<const A*> from;        // first value in the strip; room for a tile more
  std::span<std::int64_t> to;  // element of the output
  std::int64_t count = 0;

  void fill(const A* input, const Strip& strip, const Strips& s, const Phase& rows,
            const Phase& cols, const Correlation& c) {
    std::size_t i = 0;
    for (auto n = strip.image; n < strip.image_end; ++n) {
      for (auto a = strip.row; a < std::min(strip.row_end, rows.count); ++a) {
        const A* row = input + (n - strip.image) * s.image + (a - strip.row) * s.step * s.row;
        const auto place = (n * c.out_h + rows.origin + a * rows.spread) * c.out_w + cols.origin;
        for (std::int64_t b = 0; b < cols.count; ++b, ++i) {
          from[i] = row + b * s.step * s.pixel;
          to[i] = (place + b * cols.spread) * c.out_c;
        }
      }
    }
    // A last tile that is not full reads its last pixel again.
    if (i > 0) std::fill_n(from.begin() + static_cast<std::ptrdiff_t>(i), tile_pixels, from[i - 1]);
    count = static_cast<std::int64_t>(i);
  }
};

/// Writes the first `count` pixels of a tile of sums, `channels` of each.
template <class T, int Vectors>
void write_tile(T* out, Store store, const std::int64_t* to, std::int64_t count,
                std::int64_t channels, const accumulate_t<T>* sums, const accumulate_t<T>* bias) {
  using A = accumulate_t<T>;
  constexpr auto W = simd::width<A>;
  for (int v = 0; v < Vectors && v * W < channels; ++v) {
    const auto shift = simd::load(bias + v * W);
    const A* sum = sums + v * W;
    const auto write = [&](auto lanes) {
      for (std::int64_t p = 0; p < count; ++p) {
        put(out + to[p] + v * W, simd::load(sum + p * Vectors * W) + shift, store, lanes);
      }
    };
    if (channels - v * W >= W) {
      write(FullLanes{});
    } else {
      write(PartLanes{channels - v * W});
    }
  }
}

/// Adds the first `count` pixels of a tile of sums to the moments [2, channels of a block]: of the
/// outputs before they are rounded, minus `center`.
template <class A, int Vectors>
void add_moments(A* moments, const A* sums, std::int64_t count, const A* bias, const A* center) {
  constexpr auto W = simd::width<A>;
  for (int v = 0; v < Vectors; ++v, moments += W, sums += W, bias += W, center += W) {
    const auto shift = simd::load(bias) - simd::load(center);
    auto first = simd::load(moments), second = simd::load(moments + Vectors * W);
    for (std::int64_t p = 0; p < count; ++p) {
      const auto d = simd::load(sums + p * Vectors * W) + shift;
      first = first + d;
      second = simd::fma(d, d, second);
    }
    simd::store(moments, first);
    simd::store(moments + Vectors * W, second);
  }
}

/// What belongs to a channel or to several, from a block's first on; any may be null.
template <class A>
struct ChannelExtras {
  const A* bias = nullptr;
  const A* center = nullptr;
  double* first = nullptr;   // sums of outputs minus center
  double* second = nullptr;  // of their squares

  ChannelExtras at(std::int64_t channel) const {
    return {bias ? bias + channel : nullptr, center ? center + channel : nullptr,
            first ? first + channel : nullptr, second ? second + channel : nullptr};
  }
};

/// Multiplies the listed pixels with a block's panel of weights. `channels` counts from the block's
/// first, which `out` points to.
template <class T, int Vectors>
void multiply_block(T* out, Store store, const PixelList<accumulate_t<T>>& pixels, const Run* runs,
                    std::int64_t run_count, const accumulate_t<T>* weights, std::int64_t channels,
                    const ChannelExtras<accumulate_t<T>>& extras) {
  using A = accumulate_t<T>;
  constexpr auto size = Vectors * simd::width<A>;
  alignas(64) A sums[tile_pixels * size];
  alignas(64) A bias[size] = {}, center[size] = {}, moments[2 * size] = {};
  const auto valid = std::min(channels, size);
  if (extras.bias) std::copy_n(extras.bias, valid, bias);
  if (extras.center) std::copy_n(extras.center, valid, center);
  for (std::int64_t p = 0; p < pixels.count; p += tile_pixels) {
    const auto count = std::min<std::int64_t>(tile_pixels, pixels.count - p);
    const auto* to = pixels.to.data() + p;
    // Outputs are in L1 when their sums are there: a first layer 1 -> 64 takes 0.7 of the time.
    for (std::int64_t i = 0; i < count; ++i) {
      prefetch<Access::write>(out + to[i], valid * std::int64_t{sizeof(T)});
    }
    multiply_tile<A, Vectors>(pixels.from.data() + p, runs, run_count, weights, sums);
    write_tile<T, Vectors>(out, store, to, count, channels, sums, bias);
    if (extras.first) add_moments<A, Vectors>(moments, sums, count, bias, center);
  }
  for (std::int64_t i = 0; extras.first && i < valid; ++i) {
    extras.first[i] += double{moments[i]};
    extras.second[i] += double{moments[size + i]};
  }
}

/// A correlation with its operands, called for one unit of it at a time.
template <Scalar T>
struct CorrelateUnit {
  using A = accumulate_t<T>;
  T* out;
  Store store;
  const T* in;
  InputMap map;
  const A* packed;
  ChannelExtras<A> extras;  // of all channels; a strip has moments of its own
  Correlation c;
  Strips s;
  std::int64_t parts;  // of the blocks, in units of their own

  // Not inlined: parallel_for calls it in two places.
  [[gnu::noinline]] void operator()(std::int64_t unit) const {
    const auto part = unit % parts, group = unit / parts % c.g.groups;
    const auto place = unit / parts / c.g.groups;
    const auto strip = s.at(place, c);
    const auto group_in = c.group_in(), group_out = c.group_out();
    const auto padded = padded_channels<A>(group_out);
    const auto blocks = pieces(group_out, block_channels<A>);
    auto own = extras;
    if (own.first) {
      own.first += place * 2 * c.out_c;
      own.second = own.first + c.out_c;
      const auto begin = part * blocks / parts * block_channels<A>;
      const auto end = std::min((part + 1) * blocks / parts * block_channels<A>, group_out);
      for (auto* sums : {own.first, own.second}) {
        std::fill_n(sums + group * group_out + begin, end - begin, 0.0);
      }
    }
    Scratch scratch;
    const A* input = nullptr;
    if constexpr (std::is_same_v<T, A>) {
      if (s.in_place) {
        input = in + strip.image * s.image + (strip.row * s.step + s.first_row) * s.row +
                s.first_col * s.pixel + group * group_in;
      }
    }
    if (!input) {
      const auto copy = scratch.take<A>(s.elements());
      copy_strip(copy.data(), in, map, strip, group, s, c);
      input = copy.data();
    }
    const auto runs = scratch.list<Run>(c.tap_count() * pieces(group_in, chunk_channels));
    PixelList<A> pixels{scratch.list<const A*>(s.pixels() + tile_pixels),
                        scratch.take<std::int64_t>(s.pixels())};

    const A* phase = packed + group * c.tap_count() * group_in * padded;
    for (std::int64_t r = 0; r < c.phases * c.phases; ++r) {
      const auto rows = c.rows(r / c.phases), cols = c.cols(r % c.phases);
      const auto terms = rows.taps * cols.taps * group_in;
      const auto run_count = find_runs(runs.data(), rows, cols, s, group_in, chunk_channels);
      pixels.fill(input, strip, s, rows, cols, c);
      for (auto block = part * blocks / parts; block < (part + 1) * blocks / parts; ++block) {
        const auto first = block * block_channels<A>, channel = group * group_out + first;
        const auto multiply =
            padded - first > simd::width<A> ? multiply_block<T, 2> : multiply_block<T, 1>;
        multiply(out + channel, store, pixels, runs.data(), run_count, phase + first * terms,
                 group_out - first, own.at(channel));
      }
      phase += terms * padded;
    }
  }
};

}  // namespace detail

/// sums [2, channels] = those of all parts [part][2, channels], in their order.
inline void join_moments(std::span<double> sums, const double* of_parts, std::int64_t parts) {
  std::fill(sums.begin(), sums.end(), 0.0);
  for (std::int64_t part = 0; part < parts; ++part, of_parts += sums.size()) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += of_parts[i];
  }
}

/// out = bias + correlation of the map of `in` with packed weights, or out += .
template <Scalar T>
void correlate(T* out, Store store, const T* in, const accumulate_t<T>* packed,
               const Conv2dFusion<T>& fusion, const Correlation& c) {
  using A = accumulate_t<T>;
  const Strips s = cut(c, sizeof(A), std::is_same_v<T, A> && !fusion.map);
  constexpr std::int64_t units = 32;  // share the blocks out where strips are fewer
  const auto blocks = pieces(c.group_out(), block_channels<A>);
  const auto without_parts = s.count * c.g.groups;
  const auto parts =
      std::clamp<std::int64_t>(units / std::max<std::int64_t>(without_parts, 1), 1, blocks);
  const auto all = without_parts * parts;
  detail::ChannelExtras<A> extras{fusion.bias.data(), fusion.moments.center.data()};
  Scratch scratch;
  const auto sums = fusion.moments.sums;
  if (!sums.empty()) extras.first = scratch.take<double>(s.count * std::ssize(sums)).data();
  parallel_for(all, Cost::of_macs(c.g.macs()),
               detail::CorrelateUnit<T>{out, store, in, fusion.map, packed, extras, c, s, parts});
  join_moments(sums, extras.first, sums.empty() ? 0 : s.count);
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
